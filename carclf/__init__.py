"""Severity, location, damage type and pixel masks of car damage from photos, judged honestly.

The modules, in dependency order: each imports only from those above it. A test sees to it.

    errors              CarclfError and its kinds
    files               files that are whole or not there
    strict_json         JSON files read strictly: line and column of a mistake, no repeated key
    config_types        the building blocks of the config
    config_errors       pydantic's findings -> errors of the config: place, what came, what was expected
    mask_architectures  the networks of segmentation heads by name, and the sizes of photos that they take
    config_backbones    the part of the config about backbones, and what several joined into one demand
    config_checks       what one part of the config demands of another, and of the disk
    config_data         the parts of the config about the data: where it is, what `check` takes for bad
    config_masks        the parts of the config about masks: architectures, how they are fitted, what a region is
    config_heads        the parts of the config about the heads, and what holds for one of them
    config              application_config.json -> frozen typed Config; every default, its unit and reason
    label_file          label files: the classes of a head, one a line
    label_table         label tables: a csv with a line per photo
    labels              label files and tables -> class names, targets (-1 = not labelled)
    images              photos: find, decode, orient, resize, scale
    photo_source        a photo that is asked about: a file, or bytes in memory
    photo_bytes         arrays and PIL images -> the bytes of a photo file, pixel for pixel
    mask_images         masks as pictures: read, turned with their photo, resized, written
    scores              scores of plain arrays under many sets of row weights at once
    selective           answers that are left to people: how sure an answer is, how right, from where on it is told
    region_scores       found regions under many sets of row weights at once: average precision, found and missed
    mask_scores         one photo's mask: how near its outline is, and the scores that count the background
    mask_metrics        what was counted in the masks of a head -> Dice, IoU, boundary F1, average precision of regions
    metrics             out-of-fold predictions -> accuracy, F1, AP, AUC, calibration error
    intervals           bootstrap over groups; trivial baselines
    risk_coverage       what leaving photos to people is worth: the error of the rest against the share answered
    rundir              the run directory: the only module that knows its file names; resume
    groups              photos of one thing: same bytes, near-duplicates, the `group` column
    folds               grouped k folds that spread every label of every head evenly
    views               ways to look at a photo: as it is, mirrored, its middle enlarged, in brighter light
    geometry            one random warp for a photo and its mask
    appearance          light, blur and noise, as other cameras would have seen a photo
    tiling              large photos as overlapping tiles, and their answers blended into one
    demo/               draws cars with damage, their labels and masks
    annotations/        one reader per annotation format -> polygons and masks
    region_matching     found regions × true regions of one photo: which is the match of which
    regions/            each damage as an object: from masks, as polygons, as COCO json
    mask_sources        annotations × photos: where the mask of every photo comes from
    head_data           labels and masks of one head, for every photo
    derived             labels that follow from masks: what is drawn, how much, which parts it touches
    dataset             photos × labels × masks, joined into one table
    importing/          annotation sets of any format -> a folder in the project's own form
    downloads           a TF-Hub handle -> a SavedModel folder: downloaded once, checked ever after
    hub                 finds a SavedModel: local folder, TF-Hub handle, embedded
    graphs              any image-feature SavedModel -> one frozen graph: vector and feature maps P2 … P5
    probes              drawn pictures that test a network before the first photo
    engines             runs a frozen graph with OpenVINO or TensorFlow, always in float32
    kept_networks       converted networks on disk: whole or not there
    networks            a SavedModel as a network that runs: frozen, converted, checked, kept
    backbone            a frozen backbone: photos -> vector and feature maps
    joined              several backbones joined into one
    architectures       makes SavedModels from keras.applications with TF-Hub's conventions
    feature_cache       features on disk, one record per photo and view
    features            runs the backbone once over the photos
    pretrain            trains the embedded backbone on drawn cars
    linear              regularised logistic regression for many training parts at once
    calibration         logits of photos a head never saw -> temperature, thresholds
    heads               classification heads; logits out
    masks/              mask networks, on frozen maps or from pixels: fitted, judged, decided on
    pixels              the photo itself in place of a backbone, for networks that are trained from scratch
    mask_looking        how a segmentation head looks at photos: whole, or in tiles
    mask_heads          a trained segmentation head: its k networks, which answer together
    fitting             what all ways to fit heads share: targets, inner folds, curves
    linear_heads        linear heads of all folds, with the penalty that inner folds choose
    mlp                 networks with a hidden layer for many training parts at once
    mlp_heads           heads with a hidden layer, of all folds, stopped early by inner folds
    crossval            folds × head -> out-of-fold predictions, histories, k heads
    records             out-of-fold predictions, curves and heads <-> files of the run directory
    sureness            from which confidence on the heads of a run answer
    label_errors        labels that are most likely wrong, ranked by out-of-fold confidence
    splits              groups.csv and folds.csv of a run
    sight               what a backbone sees in the photos of a dataset
    judging             the classification heads of a run, cross-validated or read
    plots               curves, confusion matrices, reliability diagrams, error against the share answered
    mask_plots          masks over photos, on sheets, from epoch to epoch
    mask_outputs        masks of photos as files: indexed, coloured, as overlays and probability maps
    mask_previews       what a mask network says after every epoch, as pictures
    mask_fold           one fold of a segmentation head: fitted, judged, kept in one file
    mask_judging        the segmentation heads of a run, fold by fold; a killed run goes on
    report              records of out-of-fold predictions -> the tree of results.json
    report_text         the tree of results.json -> results.txt
    compare             several models on the same photos and folds: paired differences
    mask_sheet          photos with true and predicted masks, from the best to the worst
    mask_tables         curves and scores of masks as the tables that published projects write
    results             results.txt, results.json and pictures from the files of run directories
    app                 the main job on one screen
    kin                 photos that show one thing, found outside a run
    checking/           what is wrong with photos, labels and masks, told before a run
    preparing/          folders of photos and masks for other tools: split first, then copies of the training part
    saying              what is said of a photo: one JSON object
    cases               several photos of one car -> one combined answer
    showing             an answer for people's eyes: words, bars, small pictures
    regions_out         the regions of many photos as one COCO json, which annotation tools load
    predict             photos -> answers, through exactly the pixels and features of training
    merged              a trained model as one graph: a photo in, the answers of all heads out
    merged_runs         lets OpenVINO answer all heads in one go, checked against the heads one by one
    trained             opens a trained run: backbone, heads, mask networks
    evaluate            a trained run on a separate labelled set
    using               a trained run put to use: classifying, evaluating
    library             a trained model in other programs and notebooks
    asking              which photos are asked about: named, in folders, by patterns, on the standard input, typed
    terminal            what a person at a terminal sees
    jobs/               many photos answered into one folder, streaming; a killed job goes on
    serve/              the HTTP service: the answers of predict, and a page for people
    export/             a trained model as one file or folder for other runtimes, with its labels, card and sums
    arguments           words of the command line -> a command and its options
    commands/           the commands of the program: their options, and what they call
    cli                 the command line: arguments, errors, exit codes
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carclf.library import Model

__version__ = "0.1.0"


def load(run: str | Path, config: str | Path | None = None, views: int | None = None) -> "Model":
    """Opens a trained model: `model = carclf.load("results/mobilenet")`, then `model("photo.jpg")`.

    Args:
        run: its run directory.
        config: the config that it was trained with; default: what the run keeps of it, whose paths hold until the
            project is moved.
        views: how many views of a photo the classification heads look at; default: as in training.

    Raises:
        CarclfError: if there is no trained model, or what it needs is not where it was.
    """
    from carclf.library import load_model  # which takes all that is heavy

    return load_model(run, config, views)
