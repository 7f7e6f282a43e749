"""Each damage as an object: regions of a semantic mask, and the COCO json that annotation tools load.

polygons.py    pixels <-> outlines, exact or simplified; holes as COCO's polygons can have them
region.py      a region: class, probability, box, pixels; what an answer says of it
splitting.py   a mask and its probabilities, or instance ids, -> regions; touching ones told apart
coco_json.py   regions of many photos -> COCO instances, for CVAT, Label Studio and our own import
"""
