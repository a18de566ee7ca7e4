"""What the entry scripts, the demo and other programs share. A folder imports from those before it in this list, never
from later ones:

errors, files   the one error for bad input; files that are replaced whole
arguments       the command line of the entry scripts
geometry        skeleton, cameras, normalising 2D, windows of frames
data            readers and writers of data files; windows for models
wild            windows of free motion as anybody's camera and detector might see them
inference       checkpoints, where a model runs, lifting whole clips
evaluation      errors, scores, tables
training        losses, recipes, the training loop, resuming
experiment      what the entry scripts run
"""
