"""What endpoints cost: AWS's own price for their instances, by the hour and since they were created.

The price comes from the AWS Price List API, where the credentials allow ``pricing:GetProducts``, and is kept on this
disk for a month. What it does not tell is unknown; nothing is guessed. Taxes, savings plans, data and what is billed by
the request are not in it.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from botocore.config import Config

from sm_magics import seen
from sm_magics.errors import SmMagicsError
from sm_magics.home import home
from sm_magics.settings import LOCAL

from . import references
from .connection import Connection
from .endpoints import Endpoint

_FILE = "prices.json"
_KEPT = 30 * 86_400.0
"""Seconds for which a price is kept: AWS changes them a few times a year, and mostly downwards."""

# A price is worth a moment, and never a failure. The API has three addresses, this one for all commercial regions.
_REGION = "us-east-1"
_CONFIG = Config(connect_timeout=3, read_timeout=6, retries={"total_max_attempts": 1})


FREE = frozenset({"Failed", "Deleting", "Deleted"})
"""The statuses of an endpoint that costs nothing (any more)."""


@dataclass(frozen=True)
class Cost:
    """What an endpoint costs, in US dollars.

    Attributes
    ----------
    instance_types
        What it runs on, as words: ``2 × ml.m5.large``, ``serverless``.
    per_hour
        With the instances that it has now; None if unknown.
    so_far
        As if it had had them since it was created; None if unknown.
    unknown
        Why the price is not known; empty where it is.
    is_refused
        Whether that is because AWS did not tell, which may change.
    """

    instance_types: str = ""
    per_hour: Decimal | None = None
    so_far: Decimal | None = None
    unknown: str = ""
    is_refused: bool = False


def of(endpoint: Endpoint, now: datetime | None = None) -> Cost:
    """Return what an endpoint costs. On this machine it costs nothing.

    Parameters
    ----------
    now
        The time until which is counted.
    """
    if endpoint.connection.is_local:
        return Cost("", Decimal(0), Decimal(0))
    try:
        if not endpoint.variants:
            endpoint.fetch()
        config = references.ask(
            endpoint.connection, "describe_endpoint_config", EndpointConfigName=endpoint.config_name
        )
    except SmMagicsError as error:
        return Cost(unknown=error.message.rstrip("."))
    asked = {variant["VariantName"]: variant for variant in (config or {}).get("ProductionVariants", ())}
    counts = {variant["VariantName"]: _count(variant, asked) for variant in endpoint.variants} or {
        name: variant.get("InitialInstanceCount", 0) for name, variant in asked.items()
    }
    types = [(asked.get(name, {}).get("InstanceType", ""), count) for name, count in counts.items()]
    words = ", ".join(f"{count} × {kind}" if count > 1 else kind for kind, count in types if kind) or "serverless"
    if not all(kind for kind, _ in types) or not types:
        return Cost(words, unknown="what is serverless is billed by the request")
    total = Decimal(0)
    for kind, count in types:
        price, why = rate(kind, endpoint.connection)
        if price is None:
            return Cost(words, unknown=why, is_refused=why == _refusal(endpoint.connection.settings.profile))
        total += price * count
    if endpoint.created is None:
        return Cost(words, total)
    hours = ((now or datetime.now(timezone.utc)) - endpoint.created).total_seconds() / 3600
    return Cost(words, total, total * Decimal(max(0.0, hours)))


def note(endpoint: Endpoint) -> Cost:
    """Return what an endpoint costs; of one in AWS it is noted for `%load_ext`, which asks nobody."""
    cost = of(endpoint)
    if endpoint.where != LOCAL and endpoint.created is not None and endpoint.status not in FREE:
        price = "" if cost.per_hour is None else str(cost.per_hour)
        seen.note(endpoint.where, endpoint.name, endpoint.created.timestamp(), price)
    return cost


def _count(variant: dict[str, Any], asked: dict[str, Any]) -> int:
    name = variant["VariantName"]
    known = variant.get("CurrentInstanceCount") or variant.get("DesiredInstanceCount")
    return int(known or asked.get(name, {}).get("InitialInstanceCount", 0))


_ASKED_AGAIN = 1800.0
"""Seconds after which who was refused a price is asked for it again: permissions are given, networks come back."""

_refused: dict[str, tuple[str, float]] = {}  # by profile: why prices cannot be asked for, and since when


def _refusal(profile: str) -> str:
    """Return why a profile is not told prices at the moment; empty where it may be."""
    why, when = _refused.get(profile, ("", 0.0))
    return why if why and time.monotonic() - when < _ASKED_AGAIN else ""


def rate(instance_type: str, connection: Connection) -> tuple[Decimal | None, str]:
    """Return the price of an hour of hosting on an instance, or None and why it is not known."""
    known = _read()
    key = f"{connection.region} {instance_type}"
    if key in known and time.time() - known[key][1] < _KEPT:
        with suppress(InvalidOperation):
            return Decimal(known[key][0]), ""
    profile = connection.settings.profile
    if why := _refusal(profile):
        return None, why
    try:
        price = _ask(instance_type, connection)
    except SmMagicsError as error:
        why = f"the Price List API does not say: {error.message.rstrip('.')}"
        _refused[profile] = why, time.monotonic()
        return None, why
    if price is None:
        return None, f"the Price List API has no single price for {instance_type} in {connection.region}"
    _write({**known, key: (str(price), time.time())})
    return price, ""


def _ask(instance_type: str, connection: Connection) -> Decimal | None:
    """Return the one price that there is, None if there are none or several."""
    with connection.calling():
        client = connection.session.client("pricing", region_name=_REGION, config=_CONFIG)
        answer = client.get_products(
            ServiceCode="AmazonSageMaker",
            Filters=[
                {"Type": "TERM_MATCH", "Field": "regionCode", "Value": connection.region},
                {"Type": "TERM_MATCH", "Field": "instanceName", "Value": instance_type},
            ],
            MaxResults=100,
        )
    prices = set()
    for text in answer["PriceList"]:
        product = json.loads(text)
        # USW2-Host:ml.m5.large; Train:, Notebk: and AsyncInf: are other uses of the same instance.
        usage = product["product"]["attributes"].get("usagetype", "")
        if usage.rpartition("-")[2] != f"Host:{instance_type}" and not usage.endswith(f"-Host:{instance_type}"):
            continue
        for term in product["terms"].get("OnDemand", {}).values():
            for dimension in term["priceDimensions"].values():
                if dimension["unit"].lower().startswith("h") and "USD" in dimension["pricePerUnit"]:
                    prices.add(Decimal(dimension["pricePerUnit"]["USD"]))
    return prices.pop() if len(prices) == 1 else None


def _read() -> dict[str, tuple[str, float]]:
    try:
        found = json.loads((home() / _FILE).read_text())
        return {str(key): (str(price), float(when)) for key, (price, when) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, SmMagicsError):
        return {}


def _write(prices: dict[str, tuple[str, float]]) -> None:
    with suppress(OSError, SmMagicsError):  # asked again the next time
        partial = home() / f"{_FILE}.new"
        partial.write_text(json.dumps(prices))
        partial.replace(home() / _FILE)
