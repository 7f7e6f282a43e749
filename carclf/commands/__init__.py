"""The commands of the program, a module each: its options, and what it calls.

Nothing heavy is imported before a command runs.
"""

import argparse
from collections.abc import Callable

from carclf.commands import backbone, check, demo, evaluate, export, import_set, predict, prepare, run, serve

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("train and judge the models of the config (the main job)", run.add_options),
    "predict": ("classify photos with a trained model", predict.add_options),
    "serve": ("answer photos over HTTP, with a page for people", serve.add_options),
    "evaluate": ("score a trained model on a separate labelled set", evaluate.add_options),
    "export": ("write a trained model for other programs: SavedModel, ONNX, OpenVINO, LiteRT", export.add_options),
    "check": ("look at photos, labels and masks before a run: what is wrong, and what to do", check.add_options),
    "import": ("bring photos labelled in any tool into a folder with a config that runs", import_set.add_options),
    "backbone": ("make a backbone SavedModel from keras.applications", backbone.add_options),
    "prepare": ("write train, valid and test folders of images and masks, split first", prepare.add_options),
    "demo": ("draw a labelled set of damaged and whole cars", demo.add_options),
}
