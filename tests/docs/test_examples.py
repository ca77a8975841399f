"""Documents that the reference shows are such as the service takes and gives."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
from astropy.io import fits

EXAMPLES = Path(__file__).parent / "examples"
V1 = "/api/image/v1/DC_W13_Stripe82"


def test_the_json_request_is_answered(client: httpx.Client) -> None:
    response = client.post(V1, json=json.loads((EXAMPLES / "request-v1.json").read_text("utf-8")))
    assert response.status_code == 200, response.text
    read: Any = fits.open
    with read(io.BytesIO(response.content)) as hdus:
        assert hdus[1].shape == (13, 23)  # 5 by 9 arcsec, 0.396 arcsec a pixel


def test_the_error_is_what_the_service_says(client: httpx.Client) -> None:
    response = client.get(V1, params={"ds": "calexp", "ra": "37.6", "dec": "95", "filter": "r"})
    assert response.status_code == 400
    assert response.json() == json.loads((EXAMPLES / "error-v1.json").read_text("utf-8"))
