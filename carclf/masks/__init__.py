"""Mask decoders on frozen feature maps.

targets.py     masks at the photos' own sizes -> soft targets on the decoder's grid        numpy
scoring.py     probabilities -> masks at the photos' own sizes, pixel counts, thresholds   numpy
map_reader.py  the cached maps of a head's photos, read batch by batch                     numpy
decoder.py     maps -> logits: the network, its weights as arrays, prediction              Keras
training.py    one decoder on one set of photos: loss, schedule, averaged weights          Keras
fit.py         one fold: thresholds from an inner split, then the decoder that counts      Keras
"""
