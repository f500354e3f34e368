"""A task of lmms-eval whose documents come from a download as it is, by one of the benchmarks' readers."""

from __future__ import annotations

from typing import Any

from datasets import Dataset, DatasetDict
from lmms_eval.api.task import ConfigurableTask

from .documents import documents


class OfficialTask(ConfigurableTask):
    """As a YAML file configures it; `dataset_path` names the reader."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Read the documents. `class`, which led here, is no key that the configuration of a task knows."""
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def download(self, dataset_kwargs: Any = None) -> None:
        """Nothing is fetched: the documents are those of the folder that OMNIZIP_BENCHMARKS names."""
        self.dataset = self.dataset_no_image = DatasetDict({"test": Dataset.from_list(documents(self.DATASET_PATH))})
