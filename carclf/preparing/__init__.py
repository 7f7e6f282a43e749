"""Folders of photos and masks for other tools: split first, then augmented copies of the training part only.

options     what is asked for
splitting   groups of photos -> train, valid, test
tables      names and label lines of the files, also of mirrored copies
material    the photos that take part, and what their masks show
output      one photo and its copies -> files
folder      the whole folder, or nothing
statistics  counts per split and class
pictures    the statistics' picture and the sheet of samples
whole       prepare from end to end
"""
