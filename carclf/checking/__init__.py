"""What is wrong with photos, labels and masks, told before a run: every part goes on where the main job would stop.

findings.py      one thing that was found: its kind, how bad it is, where, what to do
photo_quality.py every file of the photo folder: unreadable, tiny, blurred, dark, misnamed
label_reading.py label table, label files and columns, as far as they can be read
mask_reading.py  annotations and masks, as far as they can be read; regions outside their photos
classes.py       how many photos and groups every class has
conflicts.py     heads that contradict each other about one photo
duplicates.py    photos that show one thing, and labels that disagree about them
fold_plan.py     the folds that a run would make
survey.py        all of it, in order
tree.py          what was found -> the tree of check.json
thumbnails.py    photos and masks, small, inside the page
page.py          check.html
screen.py        what a person at a terminal sees
"""
