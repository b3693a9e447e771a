import pytest

from tidewright.cli.fee_option import require_rate
from tidewright.cli.main import main
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize


@pytest.mark.parametrize("text", [None, "0", "0.001", "-0.0001", "1", "-1"])
def test_rates_and_rebates_are_taken(text):
    require_rate(text, "--maker-fee")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2", r"--maker-fee must be .* from -1 to 1 \(0.001 is 0.1 %\), was 2 \(2 times the value\)"),
        ("-1.5", r"was -1.5 \(-1.5 times the value\)"),
        ("10%", r"from -1 to 1 \(0.001 is 0.1 %\), was '10%'"),
        ("cheap", "was 'cheap'"),
        ("0.000000001", "at most 8 decimals"),
    ],
)
def test_what_is_no_rate_is_refused_with_rule_value_and_unit(text, message):
    with pytest.raises(UsageError, match=message):
        require_rate(text, "--maker-fee")


@pytest.mark.parametrize("command", ["backtest", "optimize"])
def test_the_commands_refuse_it_before_anything_is_shown(command, tmp_path, capsys):
    synthesize(tmp_path / "tape", hours=0.02, seed=1)
    with pytest.raises(SystemExit) as caught:
        main([command, "--tape", str(tmp_path / "tape"), "--taker-fee", "2"])
    out, words = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert words.startswith("error: --taker-fee must be a share") and len(words.splitlines()) == 1
