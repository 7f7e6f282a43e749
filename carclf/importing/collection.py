"""The folder that is imported into: its rows, the content of its photos and masks, and what earlier imports did."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from carclf.config import read_config
from carclf.errors import PhotoError, RunDirError, listed
from carclf.files import PARTIAL, csv_text, encode, write_json, write_text
from carclf.images import photo_sha256
from carclf.label_table import GROUP_COLUMN, NAME_COLUMN, read_label_table
from carclf.labels import split_cell
from carclf.strict_json import read_json

STATE, CONFIG, TABLE = "import.json", "config.json", "labels.csv"
PHOTOS, MASKS, LABELS = "photos", "masks", "labels"
SKIPPED, CONFLICTS = "skipped.csv", "conflicts.csv"
UNFINISHED = ".import_unfinished"  # stands there while an import is at work; holds the heads whose masks it writes
_VERSION = 1


@dataclass(frozen=True)
class MaskState:
    """What a mask of the folder shows.

    Attributes:
        digest: SHA-256 of its size and class ids.
        shows: the classes and their shares, for people.
    """

    digest: str
    shows: str


@dataclass
class Collection:
    """What the folder holds.

    Attributes:
        root: the folder, without links.
        rows: photo -> column -> cell, in the order of labels.csv.
        columns: of labels.csv, beside the name.
        sha256s: photo -> hash of its bytes.
        masks: head -> photo -> its mask.
        imports: earlier imports, oldest first.
        config: config.json; empty if there is none yet.
        unfinished: an earlier import was cut off: masks that no import knows are its leftovers.
    """

    root: Path
    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    sha256s: dict[str, str] = field(default_factory=dict)
    masks: dict[str, dict[str, MaskState]] = field(default_factory=dict)
    imports: list[dict[str, Any]] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    unfinished: bool = False
    _by_sha256: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)  # stems in small letters: two masks never share a file

    def __post_init__(self) -> None:
        """Indexes the photos."""
        for name, sha256 in self.sha256s.items():
            self._by_sha256.setdefault(sha256, name)
        self._taken = {_stem(name) for name in self.rows}

    @property
    def heads(self) -> dict[str, Any]:
        """The heads of config.json: name -> what it says of them."""
        heads: dict[str, Any] = self.config.get("heads", {})
        return heads

    def place_photo(self, wanted: PurePosixPath, sha256: str) -> tuple[str, bool]:
        """Finds the row of a photo by its content, or makes one; a name that other content has gets "-2".

        Returns:
            (its name, whether the row is new).
        """
        if sha256 in self._by_sha256:
            return self._by_sha256[sha256], False
        number, name = 1, wanted
        while _stem(str(name)) in self._taken or self._holds_other(str(name), sha256):
            number += 1
            name = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        self._taken.add(_stem(str(name)))
        self._by_sha256[sha256] = str(name)
        self.rows[str(name)], self.sha256s[str(name)] = {}, sha256
        return str(name), True

    def fill_cell(self, name: str, column: str, labels: tuple[str, ...]) -> str | None:
        """Writes labels into an empty cell; returns what stands there if it is something else."""
        if column not in self.columns:
            self.columns.append(column)
        there, cell = self.rows[name].get(column, ""), ";".join(labels)
        if not there:
            self.rows[name][column] = cell
        same = there in ("", cell) or (column != GROUP_COLUMN and set(split_cell(there)) == set(labels))
        return None if same else there

    def has_labels(self, column: str) -> bool:
        """Whether any photo is labelled there."""
        return any(row.get(column) for row in self.rows.values())

    def mask_path(self, head: str, name: str) -> Path:
        """The file of a photo's mask."""
        return self.root / MASKS / head / PurePosixPath(name).with_suffix(".png")

    def label_path(self, head: str) -> Path:
        """The label file of a head."""
        return self.root / LABELS / f"{head}.txt"

    def remember(self, report: dict[str, Any]) -> None:
        """Notes an import; the same one, done again, takes its old place."""
        keys = [each.get("key") for each in self.imports]
        if report["key"] in keys:
            self.imports[keys.index(report["key"])] = report
        else:
            self.imports.append(report)

    def _holds_other(self, name: str, sha256: str) -> bool:
        path = self.root / PHOTOS / name
        if not path.exists():
            return False
        try:
            return photo_sha256(path) != sha256
        except PhotoError:
            return True


def open_collection(root: Path, workers: int) -> Collection:
    """Reads what the folder holds; a new one holds nothing.

    Raises:
        RunDirError: if its files are not those of an import.
        LabelError: if labels.csv was edited and is wrong now.
        ConfigError: if config.json was, and is.
    """
    for path in root.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)
    state = _read_object(root / STATE)
    if state and state.get("version") != _VERSION:
        raise RunDirError(f"{root / STATE}: is of another version of the program. Import into a new folder.")
    config = _read_object(root / CONFIG)
    if config:
        read_config(root / CONFIG)  # tells what is wrong with it
    made = Collection(root, imports=state.get("imports", []), config=config, unfinished=(root / UNFINISHED).exists())
    for head, masks in state.get("masks", {}).items():
        made.masks[head] = {name: MaskState(*each) for name, each in masks.items()}
    if not (root / TABLE).exists():
        return made
    table = read_label_table(root / TABLE)
    columns = dict(table.columns)
    if table.groups is not None:
        columns[GROUP_COLUMN] = table.groups
    rows = {name: {key: cells[i] for key, cells in columns.items()} for i, name in enumerate(table.photos)}
    sha256s = _hash_photos(root, table.photos, state.get("photos", {}), workers)
    return Collection(root, rows, list(columns), sha256s, made.masks, made.imports, config, made.unfinished)


def save_collection(collection: Collection) -> None:
    """Writes labels.csv and, last, import.json."""
    root = collection.root
    rows = ([name, *(row.get(key, "") for key in collection.columns)] for name, row in collection.rows.items())
    write_if_other(root / TABLE, csv_text([NAME_COLUMN, *collection.columns], rows))
    for name, header in (("skipped", ("record", "reason")), ("conflicts", ("photo", "head", "was", "came", "from"))):
        lines = [line for each in collection.imports for line in each[name]]
        write_table(root / f"{name}.csv", header, lines)
    masks = {
        head: {name: [mask.digest, mask.shows] for name, mask in each.items()}
        for head, each in collection.masks.items()
    }
    tree = {"version": _VERSION, "photos": collection.sha256s, "masks": masks, "imports": collection.imports}
    write_json(root / STATE, tree)
    (root / UNFINISHED).unlink(missing_ok=True)


def mark_unfinished(folder: Collection, head: str) -> None:
    """Notes that masks of a head are being written, until the folder is saved."""
    path = folder.root / UNFINISHED
    heads = path.read_text(encoding="utf-8").split() if path.exists() else []
    write_if_other(path, "".join(f"{each}\n" for each in sorted({*heads, head})))


def remove_leftovers(folder: Collection) -> None:
    """Deletes masks that an import which was cut off has written and no import knows: they would be labels."""
    if not folder.unfinished:
        return
    for head in (folder.root / UNFINISHED).read_text(encoding="utf-8").split():
        known = {folder.mask_path(head, name) for name in folder.masks.get(head, {})}
        for path in (folder.root / MASKS / head).rglob("*.png"):
            if path not in known:
                path.unlink()


def write_if_other(path: Path, text: str) -> None:
    """Writes a text file unless it holds this text already."""
    if not path.is_file() or path.read_bytes() != encode(text):
        write_text(path, text)


def write_table(path: Path, header: tuple[str, ...], lines: list[list[str]]) -> None:
    """Writes a csv file; one without lines only where an older one stands."""
    if lines or path.exists():
        write_if_other(path, csv_text(header, lines))


def check_folder(root: Path) -> None:
    """Refuses a folder that holds something else than imports.

    Raises:
        RunDirError: says what it holds.
    """
    if root.exists() and not root.is_dir():
        raise RunDirError(f"{root}: is a file, and an import needs a folder. Give another one.")
    names = sorted(each.name for each in root.iterdir()) if root.exists() else []
    if {STATE, UNFINISHED} & set(names):
        return
    foreign = [name for name in names if not name.startswith(".")]
    if foreign:
        raise RunDirError(
            f"{root}: holds {listed(foreign, 3)} and is no imported set (there is no {STATE}). "
            "Give a new or empty folder."
        )


def refuse_links(root: Path, heads: tuple[str, ...]) -> None:
    """Refuses a folder in which a link stands where something will be written.

    Raises:
        RunDirError: names the links.
    """
    files = (".lock", UNFINISHED, STATE, CONFIG, TABLE, SKIPPED, CONFLICTS, PHOTOS, MASKS, LABELS)
    places = [*files, *(f"{MASKS}/{head}" for head in heads)]
    links = [place for place in places if (root / place).is_symlink()]
    if links:
        raise RunDirError(f"{root}: {listed(links)} is a link; writing there would leave the folder. Delete it.")


def _read_object(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    value = read_json(path, RunDirError)
    if not isinstance(value, dict):
        raise RunDirError(f"{path}: an object {{…}} was expected. Delete the file to have it made anew.")
    return value


def _hash_photos(root: Path, names: tuple[str, ...], known: Mapping[str, str], workers: int) -> dict[str, str]:
    """Photo -> hash of its bytes; of one that is gone or broken what the last import knew."""

    def hash_photo(name: str) -> str:
        try:
            return photo_sha256(root / PHOTOS / name)
        except PhotoError:
            return known.get(name, "")

    with ThreadPoolExecutor(workers) as pool:
        found = zip(names, pool.map(hash_photo, names), strict=True)
        return {name: sha256 for name, sha256 in found if sha256}


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).lower()
