"""Mask networks: on frozen feature maps, or from the photo's own pixels.

spec.py              what a network reads and answers, as plain values                         numpy
map_reader.py        the cached maps of a head's photos, read batch by batch                   numpy
instance_targets.py  single regions -> what a network that tells them apart is taught          numpy
targets.py           masks at the photos' own sizes -> soft targets on the network's grid      numpy
scoring.py           probabilities -> masks at the photos' own sizes, thresholds, mean mask    numpy
grouping.py          centres and offsets -> which region a cell belongs to                     numpy
answers.py           a network's answer -> class mask and regions at the photo's own size      numpy
photo_scores.py      answers and constant answers against what is true, photo by photo         numpy
augmentation.py      photo and targets warped together, anew each time                         OpenCV
parts.py             seeded layers, and the entry of a frozen map                              Keras
fpn.py, unet.py, deeplab.py, panoptic_network.py   the networks on frozen maps                 Keras
flexunet.py, unet_xception.py                      the networks from pixels                    Keras
networks.py          the networks by name                                                      Keras
decoder.py           a fitted network: maps or pixels -> logits, its weights as arrays         Keras
losses.py            the losses by name, and what the curves count                             TensorFlow
panoptic.py          the loss that centres and offsets are learnt with                         TensorFlow
goals.py             what a network is fitted for: the losses of its architecture              TensorFlow
sampling.py          draws the batches of a fit                                                numpy
optimizing.py        optimiser, step size over the epochs, running average of the weights      Keras
training.py          one network on one set of photos                                          Keras
fit.py               one fold: thresholds from an inner split, then the network that counts    Keras
"""
