import pytest

from tests.strategies.test_custom import GRID, written
from tidewright.cli.trade import KEY_VARIABLE, SECRET_VARIABLE, load
from tidewright.market.clock import HOUR, SECOND
from tidewright.market.errors import ConfigError

KEYS = {KEY_VARIABLE: "key", SECRET_VARIABLE: "secret"}
READY = (
    '{"rest":"http://h:1","ws":"ws://h:1","control":"ws://h:1/control",'
    '"api_key":"k","api_secret":"s","symbols":["BTCUSDT"]}'
)


def config(tmp_path, text, environment=KEYS):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return load(path, tmp_path / "run", environment)


def test_paper_is_the_default_and_finds_the_exchange_by_its_state_file(tmp_path):
    (tmp_path / "exchange.json").write_text(READY)
    chosen = config(tmp_path, 'cycle = "10s"\nhours = 2\n[venue]\nstate = "exchange.json"\n', {})
    assert chosen.settings.mode == "paper"
    assert (chosen.settings.cycle_ns, chosen.settings.duration_ns) == (10 * SECOND, 2 * HOUR)
    assert (chosen.address.symbol, chosen.address.control) == ("BTCUSDT", "ws://h:1/control")
    assert "s" != repr(chosen.address.api_secret)


def test_real_money_needs_its_word_and_keys_from_the_environment(tmp_path):
    with pytest.raises(ConfigError, match=r'needs live = "yes-real-money"'):
        config(tmp_path, 'live = "yes"\nsymbol = "BTCUSDT"\n')
    with pytest.raises(ConfigError, match=KEY_VARIABLE):
        config(tmp_path, 'live = "yes-real-money"\nsymbol = "BTCUSDT"\n', {})
    chosen = config(tmp_path, 'live = "yes-real-money"\nsymbol = "BTCUSDT"\n')
    assert chosen.settings.mode == "live"
    assert chosen.address.rest == "https://api.binance.com"
    assert chosen.address.ws_api == "wss://ws-api.binance.com:443"
    assert chosen.address.control == ""
    assert "secret" not in repr(chosen)


def test_a_users_own_strategy_lies_beside_the_configuration(tmp_path):
    (tmp_path / "exchange.json").write_text(READY)
    path = written(tmp_path, GRID)
    rest = '[params]\nlevels = 2\n[venue]\nstate = "exchange.json"\n'
    assert config(tmp_path, f'strategy = "mine.py"\n{rest}').settings.strategy == f"{path}:my_grid"
    with pytest.raises(ConfigError, match="no strategy file is at"):
        config(tmp_path, f'strategy = "yours.py"\n{rest}')
    written(tmp_path, "import math\nx = = 1\n", "broken.py")
    with pytest.raises(ConfigError, match=r"broken.py, line 2 .*invalid syntax"):
        config(tmp_path, f'strategy = "broken.py"\n{rest}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cycle = ", "is not TOML"),
        ('colour = "red"\n', "unknown 'colour'"),
        ("[limits]\nmax_loss = 1\n", r"unknown 'max_loss' in \[limits\]"),
        ('strategy = "girds"\n', "did you mean 'grid'"),
        ("[params]\nspread_percentage = -1\n", "spread_percentage must be in"),
        ("[params]\nlevel = 1\n", "no parameter 'level'"),
        ('cycle = "fast"\n', "a duration is a number"),
        ("[limits]\nstop_loss = -0.1\n", "stop_loss must be > 0"),
        ("[advice]\nthreshold = 2\n", "threshold must be in"),
        ('[advice]\nstill_before = "2s"\n', "still_before must be 0 to 1 s, was 2 s"),
        ("[advice]\nstill_before = true\n", "a duration is a number"),
        ('restart = "maybe"\n', "restart must be"),
        ("", "a paper session needs"),
        ('[venue]\nstate = "nowhere.json"\n', "no paper exchange has its state file at"),
    ],
)
def test_every_mistake_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text)


def test_a_missing_file_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml", None, {})


def test_the_gate_and_the_canary_are_configured_and_real_money_asks_for_every_figure(tmp_path):
    (tmp_path / "exchange.json").write_text(READY)
    venue = '[venue]\nstate = "exchange.json"\n'
    text = "[gate]\nmin_stability = false\nmax_overfitting = 0.3\n[canary]\ncycles = 120\nfraction = 0.1\n"
    advice = config(tmp_path, text + venue).settings.advice
    assert (advice.gate.min_stability, advice.gate.max_overfitting, advice.gate.require) == (None, 0.3, False)
    assert (advice.canary.cycles, advice.canary.fraction, advice.canary.blind_cycles) == (120, 0.1, 360)
    real = config(tmp_path, 'live = "yes-real-money"\nsymbol = "BTCUSDT"\n').settings.advice
    assert real.gate.require is True


@pytest.mark.parametrize(("text", "lead_ns"), [('"5ms"', 5_000_000), ("0", 0), ("false", None), ("0.25", 250_000_000)])
def test_how_long_before_a_decision_the_optimizer_stands_still_is_a_duration_or_false(tmp_path, text, lead_ns):
    (tmp_path / "exchange.json").write_text(READY)
    chosen = config(tmp_path, f'[advice]\nstill_before = {text}\n[venue]\nstate = "exchange.json"\n')
    assert chosen.settings.advice.still_before_ns == lead_ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gate]\nmin_dsr = 0.5\n", r"unknown 'min_dsr' in \[gate\]"),
        ("[gate]\nmax_overfitting = 5\n", "max_overfitting is a probability"),
        ("[canary]\nfraction = 0\n", "share of base_quantity must be in"),
        ("[canary]\nerror_rate = 1\n", "error rate must be in"),
    ],
)
def test_a_gate_or_canary_that_cannot_work_is_refused_with_its_rule(tmp_path, text, message):
    (tmp_path / "exchange.json").write_text(READY)
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, text + '[venue]\nstate = "exchange.json"\n')


def test_agents_and_the_pattern_are_read_and_mistakes_are_told(tmp_path):
    (tmp_path / "exchange.json").write_text(READY)
    venue = '[venue]\nstate = "exchange.json"\n'
    agents = '[agents]\nnames = ["far"]\nnats = "nats://h:4222"\nkeys = "keys.json"\nround_cycles = 4\n'
    commands = '[agents.commands]\nnear = ["python3", "a.py"]\n'
    chosen = config(tmp_path, f'coordination = "democratic"\n{venue}{agents}{commands}', {}).settings
    assert (chosen.coordination, chosen.agents.members, chosen.agents.round_cycles) == (
        "democratic",
        ("far", "near"),
        4,
    )
    assert chosen.agents.keys == str(tmp_path / "keys.json")
    for text, words in (
        (f'coordination = "anarchic"\n{venue}', "coordination must be one of"),
        (f'{venue}[agents]\nnames = ["far"]\n', "name its URL"),
        (f'{venue}[agents]\nnames = ["far"]\nnats = "nats://h:1"\n', "need a key file"),
        (f'{venue}[agents]\nnames = "far"\n', "must be a list of texts"),
        (f'{venue}[agents.commands]\nnear = "a.py"\n', "must be a list of texts"),
        (f"{venue}[agents]\nround_cycles = 0\n", "at least 1 cycle"),
        (f"{venue}[agents]\nfriends = 1\n", "unknown 'friends'"),
    ):
        with pytest.raises(ConfigError, match=words):
            config(tmp_path, text, {})
