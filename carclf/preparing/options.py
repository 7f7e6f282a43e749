"""What is asked of `prepare`."""

from dataclasses import dataclass

from carclf.errors import ConfigError, raise_all

SPLITS = ("train", "valid", "test")
MOST_COPIES = 100
LEAST_SIZE, MOST_SIZE = 16, 8192  # pixels


@dataclass(frozen=True)
class PrepareOptions:
    """The options of the command line.

    Attributes:
        head: the segmentation head whose masks are written; None = the only one, or none if there is none.
        valid: share of the photos, 0 = no such part.
        test: the same.
        copies: augmented copies of each training photo.
        size: pixels on either side of what is written; None = as large as the photo.
        seed: of the split and of every copy.
    """

    head: str | None = None
    valid: float = 0.15
    test: float = 0.15
    copies: int = 3
    size: int | None = None
    seed: int = 42

    @property
    def shares(self) -> dict[str, float]:
        """The parts that are made, and their shares of the photos; training is the first."""
        wanted = {"train": 1.0 - self.valid - self.test, "valid": self.valid, "test": self.test}
        return {name: share for name, share in wanted.items() if share > 0.0}


def check_options(options: PrepareOptions) -> None:
    """Makes sure that every number is in its range.

    Raises:
        ConfigError: with every one that is not, one a line.
    """
    problems = [
        f"--{name}: {share:g} is no share of the photos. Write a number from 0 to less than 1."
        for name, share in (("valid", options.valid), ("test", options.test))
        if not 0.0 <= share < 1.0
    ]
    if not problems and options.valid + options.test > 0.999:
        problems.append(
            f"--valid {options.valid:g} and --test {options.test:g} leave nothing for training. Make them smaller."
        )
    if not 0 <= options.copies <= MOST_COPIES:
        problems.append(f"--copies: {options.copies} is not a whole number from 0 to {MOST_COPIES}.")
    if options.size is not None and not LEAST_SIZE <= options.size <= MOST_SIZE:
        problems.append(f"--size: {options.size} is not a number of pixels from {LEAST_SIZE} to {MOST_SIZE}.")
    if options.seed < 0:
        problems.append(f"--seed: {options.seed} is below 0. Write a whole number from 0.")
    raise_all(ConfigError, problems)
