"""The motion of the demo's people as files for other programs, in space, with y up."""
