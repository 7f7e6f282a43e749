"""A job from end to end: photos in, a folder of answers out, the same to the byte however often it was killed."""

from dataclasses import dataclass

from carclf.files import locked, remove_partial_files
from carclf.jobs.finishing import finish_job, take_stock
from carclf.jobs.intake import Intake
from carclf.jobs.journal import Journal
from carclf.jobs.keeping import Keeper, Shelf, Writer
from carclf.jobs.ledger import Ledger, Names
from carclf.jobs.request import ANSWERS, ERRORS, LEDGER, PICTURES, JobRequest, begin_job, describe_job
from carclf.jobs.screen import print_job, show_progress
from carclf.jobs.thumbnails import Thumbnails
from carclf.mask_outputs import MaskWriter
from carclf.predict import Predictor


@dataclass(frozen=True)
class Job:
    """A model, and what it is asked for.

    Attributes:
        predictor: answers.
        request: what is asked for.
        trained_views: how many views of a photo the classification heads were fitted with.
    """

    predictor: Predictor
    request: JobRequest
    trained_views: int

    def run(self, quiet: bool) -> int:
        """Answers all photos that are not answered yet, and brings everything else up to date.

        Args:
            quiet: whether the closing table is left out.

        Returns:
            how many photos could not be answered in this run.

        Raises:
            RunDirError: if the folder holds another job, or cannot be written.
        """
        folder = self.request.folder
        with locked(folder):
            described = describe_job(self.request, self.predictor, self.trained_views)
            begin_job(folder, described)
            for each in self.request.own_folders:
                remove_partial_files(each)
            with Ledger(folder / LEDGER) as ledger:
                failed = self._answer(ledger)
                finished = finish_job(self.request, described, ledger, self._thumbnails)
        if not quiet:
            print_job(finished.counts, finished.num_errors, finished.files, described["heads"])
        return failed

    def _answer(self, ledger: Ledger) -> int:
        """Answers what is not answered yet; returns how many photos failed."""
        folder = self.request.folder
        with Journal(folder / ANSWERS) as answers, Journal(folder / ERRORS) as errors:
            take_stock(folder, ledger)
            shelf = Shelf(answers, errors, ledger, self._writers(ledger), self._thumbnails, self.request.report_photos)
            with show_progress(self.request) as progress, Keeper(shelf, progress) as keeper:
                intake = Intake(self.request, ledger, progress)
                for answer in self.predictor.predict(intake.photos()):
                    keeper.take(intake.names.popleft(), answer)
                keeper.finish()
                return keeper.failed

    def _writers(self, ledger: Ledger) -> list[Writer]:
        """What writes the pictures that were asked for."""
        label_sets, outputs = self._thumbnails.label_sets, self.request.outputs
        return [
            MaskWriter(outputs[word], kind, label_sets, Names(ledger, word))
            for word, kind in PICTURES.items()
            if word in outputs
        ]

    @property
    def _thumbnails(self) -> Thumbnails:
        label_sets = {name: head.label_set for name, head in self.predictor.mask_heads.items()}
        return Thumbnails(self.request.folder, label_sets)
