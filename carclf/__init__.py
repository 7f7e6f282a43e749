"""Severity, location, damage type and pixel masks of car damage from photos, judged honestly.

The modules, in dependency order: each imports only from those above it. A test sees to it.

    errors         CarclfError and its kinds
    strict_json    JSON files read strictly: line and column of a mistake, no repeated key
    config_types   the building blocks of the config
    config_errors  pydantic's findings -> errors of the config: place, what came, what was expected
    config_checks  what one part of the config demands of another, and of the disk
    config         application_config.json -> frozen typed Config; every default, its unit and reason
    label_file     label files: the classes of a head, one a line
    label_table    label tables: a csv with a line per photo
    labels         label files and tables -> class names, targets (-1 = not labelled)
    scores         scores of plain arrays under many sets of row weights at once
    metrics        out-of-fold predictions -> accuracy, F1, AP, AUC, Dice, IoU, calibration error
    intervals      bootstrap over groups; trivial baselines
    files          files that are either whole or not there
    rundir         the run directory: the only module that knows its file names; resume
    groups         photos of one thing: same bytes, near-duplicates, the `group` column
    folds          grouped k folds that spread every label of every head evenly
    images         photos and masks: find, decode, orient, resize, scale: the only reader of pixels
    demo/          draws cars with damage, their labels and masks
    annotations/   one reader per annotation format -> polygons and masks
    mask_sources   annotations × photos: where the mask of every photo comes from
    head_data      labels and masks of one head, for every photo
    dataset        photos × labels × masks, joined into one table
    hub            finds a SavedModel: local folder, TF-Hub handle, embedded
    graphs         any image-feature SavedModel -> one frozen graph: vector and feature maps P2 … P5
    probes         drawn pictures that test a network before the first photo
    engines        runs a frozen graph with OpenVINO or TensorFlow, always in float32
    networks       a SavedModel as a network that runs: frozen, converted, checked, kept
    backbone       a frozen backbone: photos -> vector and feature maps
    architectures  makes SavedModels from keras.applications with TF-Hub's conventions
    feature_cache  features on disk, one record per photo and view
    features       runs the backbone once over the photos
    pretrain       trains the embedded backbone on drawn cars
    linear         regularised logistic regression for many training parts at once
    calibration    logits of photos a head never saw -> temperature, thresholds
    heads          classification heads; logits out
    masks/         mask decoders
    crossval       folds × head -> out-of-fold predictions, histories, k heads
    records        predictions, curves and heads <-> files of the run directory
    report         records of out-of-fold predictions -> the tree of results.json
    report_text    the tree of results.json -> results.txt
    compare        several models on the same photos and folds: paired differences
    plots          curves, confusion matrices, overlays
    predict        photos -> answers, through exactly the pixels and features of training
    evaluate       a trained run on a separate labelled set
    results        results.txt, results.json and pictures from the files of run directories
    sight          a model as it is used: its backbone, loaded once, and what it sees in the photos
    splits         dataset and vectors -> groups.csv and folds.csv of a run
    judging        the classification heads of a run, cross-validated or read
    app            the main job on one screen
    cli            the command line: arguments, errors, exit codes
"""

__version__ = "0.1.0"
