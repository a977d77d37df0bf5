"""``%sm_attach``: a training job that exists, in the notebook."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument

from . import parsing
from .live import Live
from .session import SessionMagics


@magics_class
class AttachingMagics(SessionMagics):
    """Training jobs."""

    @line_magic
    @parsing.magic
    @argument("job", metavar="JOB", help="the training job's name")
    @argument("--wait", action="store_true", help="wait until it has ended; one that failed is an error")
    @argument("--logs", action="store_true", help="show what its containers printed")
    @argument("--artifacts", action="store_true", help="look through what it left as its model")
    @argument("-n", "--tail", type=int, default=200, metavar="LINES", help="how many of the last lines to show; 0: all")
    @parsing.placed
    @parsing.out
    def sm_attach(self, line: str) -> Any:
        """Attach to a training job, on this machine or with --region in AWS, whatever image it runs on.

        Shows its status, metrics, hyperparameters and image, and returns a TrainingJob that %sm_deploy takes.
        """
        from sm_magics.display import jobs, render
        from sm_magics.hosting import training

        options = parsing.parse(self.sm_attach, line)
        session = self.session
        job = training.attach(options.job, session.settings(options))
        session.regions.add(job.where)
        with Live(session, job.name) as live:
            if options.wait:
                job.wait(listener=live)
            left = None
            if options.artifacts:
                left = job.artifacts
            shown = jobs.training_job(job, left)
            live.finish(shown, card=lambda _: session.cards.job(job, shown, left))
        if options.logs:
            session.show(render.log(job.name, job.place, job.logs(), options.tail))
        return session.result(job, options.out)

    @line_magic
    @parsing.magic
    @parsing.placed
    @parsing.out
    def sm_doctor(self, line: str) -> Any:
        """Look at all that deploying needs: versions, this machine, and in AWS credentials, role, bucket and image.

        Changes nothing. Says what works, and what to do about what does not; returns the list of checks.
        """
        from sm_magics.display import jobs
        from sm_magics.hosting import doctor

        options = parsing.parse(self.sm_doctor, line)  # type: ignore[misc] # IPython types its decorators too wide
        found = doctor.examine(self.session.settings(options))
        self.session.show(jobs.checks(found))
        return self.session.result(found, options.out)
