"""What Duolect raises when the fault lies with its input: one sentence, in the user's language.

Every message names the place (file and line, or the field), says what was found, and what was expected.
The command line prints the message alone; anything that is not a `DuolectError` is a bug and keeps its traceback.
"""


class DuolectError(Exception):
    """Base of all errors a user can cause and mend."""


class ConfigError(DuolectError):
    """A recipe, search or system setting is unknown, of the wrong type, or out of range."""


class AudioError(DuolectError):
    """An audio file cannot be read, or holds nothing that can be recognised."""


class ManifestError(DuolectError):
    """A manifest line is not what the format asks for."""


class UnitsError(DuolectError):
    """Text cannot be spelled in the label units, or two models do not share them."""


class ModelError(DuolectError):
    """A model cannot be built, loaded or applied."""


class SearchError(DuolectError):
    """A search was given impossible input (NaN, wrong shapes, bad weights)."""


class SystemFolderError(DuolectError):
    """A system folder is incomplete, of another format, or lacks a component."""


class TrainingError(DuolectError):
    """A training run cannot start or go on."""


class ScoringError(DuolectError):
    """Hypotheses and references do not belong together."""
