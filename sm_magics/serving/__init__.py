"""The model server: ``/ping`` and ``/invocations`` for one extracted model directory."""
