"""Many photos answered into one folder: a job that streams, and that goes on where it was when it was killed.

request        what is asked for, as job.json keeps it
journal        files of JSON lines that only grow: a killed process loses nothing but the line that it was at
ledger         which photos are answered, what their pictures are called; on the disk, as there may be many
tables         the answers as a csv file with a row per photo; what was answered how often
coco           the regions of all photos as COCO json
thumbnails     small pictures of photos, the masks beside them
contact_sheet  thumbnails with their answers, many on a picture
report_page    the page that one can mail
screen         what a person at a terminal sees of a job
intake         which photos are still to be answered
keeping        answers and errors -> pictures and journals, as they come
finishing      what follows from the journals when all photos are answered
job            a job from end to end
"""
