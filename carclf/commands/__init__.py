"""The commands of the program, a module each: its options, and what it calls.

Nothing heavy is imported before a command runs.
"""

import argparse
from collections.abc import Callable

from carclf.commands import backbone, demo, evaluate, predict, run

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": ("train and judge the models of the config (the main job)", run.add_options),
    "predict": ("classify photos with a trained model", predict.add_options),
    "evaluate": ("score a trained model on a separate labelled set", evaluate.add_options),
    "backbone": ("make a backbone SavedModel from keras.applications", backbone.add_options),
    "demo": ("draw a labelled set of damaged and whole cars", demo.add_options),
}
