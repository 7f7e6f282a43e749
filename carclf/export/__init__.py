"""A trained model as one file or folder for other runtimes, with all that its answers need to be understood.

whole_graph      the merged graphs of a model as one graph: photos of every size in, the answers of all heads out
photo_graph      the bytes of a photo -> pixels, in TensorFlow operations
runtime          what runs an exported model
savedmodel, onnx_format, openvino_format, litert_format
                 the graph as a file of one runtime, and what runs it
precisions       in which numbers
formats          the formats by name
example          a program that lies beside the model and needs only its runtime
beside           what lies beside the model: what its answers mean, an example, the files' sums
mask_counting    what is counted in the masks of exported fold networks
precision        what fewer bits cost in score, measured out of fold
card             the model card, made from the files of the run
job              the whole export: checked, written beside its place, moved into it
"""
