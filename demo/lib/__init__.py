"""The networks of the published demo, YOLOv3 and HRNet-W48, and what belongs to them; `demo/hrnet.py` uses them."""
