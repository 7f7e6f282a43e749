"""Draws cars with damage, their labels and exact masks: a data set for everyone who has none yet.

bodies, shape    what cars measure; their surfaces as points of the world, pushed in where they were crushed
look, details    paint, lights, plates, doors; glass: the windows
cars             a whole car, drawn far parts first
damage, wounds   what happened to it and how bad that is; how it looks, and its numbers in the damage picture
distract         what looks like damage and is none
scene, scenery   places; camera, light: perspective, shading, the faults of lens and sensor
photo            one photo, from seed and number alone
write            a folder with photos, masks, labels and a config that runs
"""

from carclf.demo.damage import KINDS, LOCATIONS, SEVERITIES
from carclf.demo.photo import DemoPhoto, Style, draw_photo
from carclf.demo.write import write_demo

__all__ = ["KINDS", "LOCATIONS", "SEVERITIES", "DemoPhoto", "Style", "draw_photo", "write_demo"]
