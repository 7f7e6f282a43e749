"""Annotation sets of any format -> a folder in the project's own form: photos, label table, masks, a config that runs.

names.py       safe names of photos and classes
options.py     what a user says about an import
survey.py      first look at an annotation set: its classes, labels and kinds
gather.py      second look: one record -> a photo and its mask, drawn
collection.py  the folder that is imported into: its rows, masks and earlier imports
classes.py     label files: made, and lengthened by new classes
writing.py     photos and masks on the disk
merging.py     what is gathered -> the folder; what differs is a conflict
configuring.py config.json: made, and lengthened by new heads
summary.py     what came of an import, in words
whole.py       the import from end to end
"""
