from __future__ import annotations

import inspect

import pytest
import torch

from model.artifact import NetworkShape, build
from model.network import BatteryLifespanPredictor
from model.schema import CycleSteps, SampleSteps
from tests.small_model import manifest_of, random_windows, small_artifact


def test_base_network_has_the_published_signature() -> None:
    parameters = inspect.signature(BatteryLifespanPredictor).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.kind is not inspect.Parameter.KEYWORD_ONLY}
    assert defaults == {"input_dim": 3, "hidden_dim": 64, "num_layers": 2, "output_dim": 1}
    network = BatteryLifespanPredictor(input_dim=3, hidden_dim=64, num_layers=2, output_dim=1)
    assert network(torch.zeros(64, 200, 3)).shape == (64, 1)


def test_base_network_is_the_head_of_the_last_hidden_state() -> None:
    network = BatteryLifespanPredictor(3, 5, 2, 2).eval()
    steps = torch.randn(4, 7, 3)
    hidden, (last, _) = network.lstm(steps)
    torch.testing.assert_close(network(steps), network.head(last[-1]))
    assert not torch.equal(hidden[:, 0], hidden[:, -1])


@pytest.mark.parametrize("skip", [False, True])
def test_quantiles_of_the_network_never_cross(skip: bool) -> None:
    network = BatteryLifespanPredictor(4, 8, 1, 3, quantiles=5, skip=skip)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(50)
    quantiles = network(10 * torch.randn(256, 6, 4))
    assert quantiles.shape == (256, 3, 5)
    assert (quantiles.diff(dim=-1) >= 0).all()


def test_an_even_number_of_quantiles_is_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        BatteryLifespanPredictor(quantiles=2)


def test_forecasts_never_cross_whatever_the_conformal_offset() -> None:
    artifact = small_artifact()
    quantiles = artifact.forecaster(torch.from_numpy(random_windows(artifact.manifest, 200)))
    assert quantiles.shape == (200, 3, 3)
    assert quantiles.dtype == torch.float32
    assert torch.isfinite(quantiles).all()
    assert (quantiles.diff(dim=-1) >= 0).all()
    assert (quantiles >= 0).all()


def test_a_positive_offset_widens_its_own_target_alone() -> None:
    manifest = manifest_of(CycleSteps(window=12))
    plain = manifest.model_copy(
        update={"target_scaling": tuple(s.model_copy(update={"offset": 0.0}) for s in manifest.target_scaling)}
    )
    torch.manual_seed(0)
    widened = build(manifest)
    narrow = build(plain)
    narrow.network.load_state_dict(widened.network.state_dict())
    windows = torch.from_numpy(random_windows(manifest, 20))
    with torch.inference_mode():
        wide, slim = widened(windows), narrow(windows)
    torch.testing.assert_close(wide[:, 0, 1], slim[:, 0, 1])
    torch.testing.assert_close(wide[:, 0, 2], slim[:, 0, 2] + 0.3 * 0.1)
    torch.testing.assert_close(wide[:, 1, 0], slim[:, 1, 1])  # an offset of -9 narrows to the median
    torch.testing.assert_close(wide[:, 2], slim[:, 2])


def test_scaled_windows_are_zero_where_unknown_and_say_which_steps_exist() -> None:
    forecaster = small_artifact(CycleSteps(window=3)).forecaster
    windows = torch.full((1, 3, 32), torch.nan)
    windows[0, 1, 4] = forecaster.scaler.mean[4] + 2 * forecaster.scaler.std[4]
    windows[0, 2] = 1e9
    scaled = forecaster.scaler(windows)
    assert scaled.shape == (1, 3, 33)
    assert scaled[0, :, -1].tolist() == [0, 1, 1]
    assert scaled[0, 0].abs().sum() == 0
    assert scaled[0, 1, 4] == pytest.approx(2, abs=1e-5)
    assert scaled[0, 1, :-1].abs().sum() == pytest.approx(2, abs=1e-5)
    assert (scaled[0, 2, :-1] == 8).all()


def test_an_integrating_forecaster_also_sees_the_charge_since_the_windows_beginning() -> None:
    steps = SampleSteps(period_s=360, window=4)
    manifest = manifest_of(steps, network=NetworkShape(hidden_dim=8, integrate=True))
    forecaster = build(manifest)
    windows = torch.tensor([[[3.3, 1.0, 25.0], [3.3, -0.5, 25.0], [3.3, torch.nan, 25.0], [3.3, 2.0, torch.nan]]])
    scaled = forecaster.scaler(windows)
    assert scaled.shape == (1, 4, 5)
    torch.testing.assert_close(scaled[0, :, 4], 5 * torch.tensor([0.1, 0.05, 0.05, 0.25]))
    assert forecaster(windows).shape == (1, 3, 3)
    assert build(manifest_of(steps)).scaler(windows).shape == (1, 4, 4)
