"""What *Deploy* on a training job's card does: package what it left with ``code/``, and deploy that."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sm_magics.settings import LOCAL

if TYPE_CHECKING:
    from sm_magics.hosting import Endpoint
    from sm_magics.hosting.training import TrainingJob
    from sm_magics.progress import Listener

    from .session import SmMagics


class Deploying:
    """The deployment of one job, as ``%sm_deploy JOB`` in the cell that shows the card would make it."""

    def __init__(self, session: SmMagics, job: TrainingJob) -> None:
        self._session, self._job = session, job
        self._author = session.author()

    def words(self) -> str:
        """Return the endpoint and the place in words, and what it is about to cost."""
        settings = self._session.settings()
        if settings.where == LOCAL:
            return f"{self.name} on this machine"
        return f"{self.name} on {settings.instance_type} in {settings.where}, which is billed by the hour"

    @property
    def name(self) -> str:
        """The endpoint's name."""
        from sm_magics.hosting.names import suggest_name

        path = self._session.notebook_path
        notebook, job = Path(path).stem if path else "", self._job.name[:40]
        return suggest_name(notebook[: 62 - len(job)], job) or "model"

    def __call__(self, listener: Listener) -> Endpoint:
        """Deploy it, and wait until it is in service on this machine; in AWS the card goes on by itself."""
        from sm_magics.hosting import Origin, deploy, machine

        session, settings = self._session, self._session.settings()
        if settings.where == LOCAL:
            machine.prepare()
        directory = session.directory()
        package = self._job.package(model_dir=directory, author=self._author, listener=listener)
        session.last_package = package
        endpoint = deploy(
            package,
            self.name,
            settings=settings,
            origin=Origin(session.notebook_path, str(directory)),
            wait=settings.where == LOCAL,
            listener=listener,
        )
        session.last_endpoint = endpoint
        session.regions.add(endpoint.where)
        return endpoint
