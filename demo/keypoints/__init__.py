"""Files of 2D keypoints of other tools, one module per family, and what is common to them: `read.read_people`."""
