"""Where everything lies: the arrays of the engine's state and the names of their columns.

Everything a run knows is in these arrays, so that it can be saved and resumed byte for byte, and a kernel sees one
:class:`State` of one type whatever strategy, queue model or number of lanes.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tidewright.market.ladder import REGISTERS
from tidewright.market.tape import F64, I64, U8
from tidewright.strategies.view import MAX_LEVELS

I32 = npt.NDArray[np.int32]

NEVER: Final = 2**62  # a time that does not come
QUEUE_UNKNOWN: Final = 1e18  # lots ahead in a level that has not been heard of since it entered the window

# -- registers (int64), after those of the ladder ---------------------------------------------------------------------
_R = REGISTERS
OWN: Final = _R  # 2: best index of a side with a queue node, -1: none
OWN_WORST: Final = _R + 2  # 2: no node has a smaller index
IN_GAP: Final = _R + 4
SNAPSHOT_SEEN: Final = _R + 5  # a snapshot row came after the gap's start
WHOLE: Final = _R + 6
MID2: Final = _R + 7  # best bid + best ask when the true book was last whole, 0: never
EPOCH: Final = _R + 8  # grows at each packet end with a whole, unlocked book
TOUCHING: Final = _R + 9  # rows since the last such packet end may touch own orders
PACKET: Final = _R + 10  # packets so far
IN_PACKET: Final = _R + 11  # 1 in a packet's rows, 2 before its end, 3 before the window is looked at
PACKET_ROW: Final = _R + 12  # first row of the current packet, in the slice
PACKET_TS: Final = _R + 13
RECEIPT: Final = _R + 14  # effective receipt of the current packet
BEFORE: Final = _R + 15  # 2: prices of best bid and ask at the last packet end; bid >= ask: cannot class prints
PRINTS: Final = _R + 17  # prints so far that met own nodes
LOST: Final = _R + 18  # 2: 1 when the packet set a level of the side outside the window, 2 when one before did
LOST_PRICE: Final = _R + 20  # 2: the best price of those
DUE: Final = _R + 22  # earliest instant with something to do
NEXT_DECISION: Final = _R + 23
NEXT_CAPTURE: Final = _R + 24  # first decision whose view is not complete
DECISIONS: Final = _R + 25  # taken so far
START: Final = _R + 26
NOW: Final = _R + 27  # everything at or before it has happened
NODE_FREE: Final = _R + 28
TAKEN_FREE: Final = _R + 29
TAKEN_ROOM: Final = _R + 30  # entries left
KNOWN_FREE: Final = _R + 31
KNOWN_ROOM: Final = _R + 32
LOG_COUNT: Final = _R + 33
LOG_SEQ: Final = _R + 34
CURVE_COUNT: Final = _R + 35
MSG_HEAD: Final = _R + 36  # ring of messages: next to read, next to write
MSG_TAIL: Final = _R + 37
BATCH_HEAD: Final = _R + 38
BATCH_TAIL: Final = _R + 39
CALL_HEAD: Final = _R + 40  # sorted list of calls from outside
CALL_TAIL: Final = _R + 41
WAIT_COUNT: Final = _R + 42
WAIT_DUE: Final = _R + 43
CAPTURE_HEAD: Final = _R + 44
CAPTURE_TAIL: Final = _R + 45
NUMBER: Final = _R + 46  # order number given last
RESTING: Final = _R + 47  # resting orders of all lanes
STATE_SINCE: Final = _R + 48  # since when the market is in MARKET_STATE
MARKET_STATE: Final = _R + 49
SHARE: Final = _R + 50  # 6: nanoseconds spent in each state
DAY: Final = _R + 56
FIRST_TS: Final = _R + 57
LAST_TS: Final = _R + 58
FINISHED: Final = _R + 59
STRAY: Final = _R + 60  # nodes whose price lies outside the window
ROWS: Final = _R + 61  # rows read
KNOWN_MID2: Final = _R + 62  # last mid of the view, 0: none
INFERRED_PRINTS: Final = _R + 63  # prints of unknown side that were classed by the book
MISSED_ROWS: Final = _R + 64  # level rows outside the window
MOVE_TO: Final = _R + 65
KNOWN_FROM: Final = _R + 66  # 2: no level of the side at or better than this index is unknown
FIRST_MID_AT: Final = _R + 68  # decision whose view had the first mid
PENDING: Final = _R + 69  # decision taken but not acted on yet, see engine.decide; NEVER: none
ACT_AT: Final = _R + 70  # when its orders arrive
NEW_DAY: Final = _R + 71  # 1: it is the first of a day
SLOTS: Final = _R + 72  # order slots of all lanes
LANES: Final = _R + 73
SAMPLES: Final = _R + 74  # equity samples of every lane; the newest is not in the sums yet
REST_FIRST: Final = _R + 75  # 2: least and greatest price of a side that may rest now, as long as the book stands still
REST_LAST: Final = _R + 77
LAST_ARRIVAL: Final = _R + 79  # of the messages of decisions: none overtakes another
LAST_TRADE: Final = _R + 80  # price of the newest print, 0: none
STOP_COUNT: Final = _R + 81  # entries of the list of stop orders, some of which may be dead
VOLUME: Final = _R + 82  # lots printed, counted where impact is measured
FIRST_RETURN: Final = _R + 83  # first and newest time of a mid in the measured volatility
LAST_RETURN: Final = _R + 84
NODES: Final = _R + 85  # nodes that there ever were
TAKERS: Final = _R + 86  # 1: a lane has sent an order that takes, so messages need more room from now on
EMPTIED: Final = _R + 87  # nodes in the buffer that lanes have left while they act, see nodes.leave_later
TAKEN_TOP: Final = _R + 88  # entries of the pool of what was taken that were ever used
ACTED_MID2: Final = _R + 89  # mid at the newest decision that lanes acted on, 0: at the next one all think anew
PRICED: Final = _R + 90  # entries of the pool of prices that the reference price is made of
PRICED_ROWS: Final = _R + 91  # rows looked at for them
BOUNDS_AT: Final = _R + 92  # instant of the bounds that follow
LEAST_PRICE: Final = _R + 93  # 2: of a limit order of a side
MOST_PRICE: Final = _R + 95  # 2
LEAST_AT_MARKET: Final = _R + 97  # lots of a market order
MOST_AT_MARKET: Final = _R + 98
LAST_MARK: Final = _R + 99  # the newest mark price, 0: none
REG_COUNT: Final = _R + 104

# Market states, whose time is shared out.
STATE_WHOLE: Final = 0
STATE_GAP: Final = 1
STATE_ONE_SIDED: Final = 2
STATE_CROSSED: Final = 3
STATE_OUT: Final = 4  # one-sided or empty, but the missing side was seen outside the window

# -- rules of a run (int64) -------------------------------------------------------------------------------------------
CFG_CYCLE: Final = 0
CFG_ENTRY: Final = 1
CFG_RESPONSE: Final = 2
CFG_FEED: Final = 3
CFG_QUEUE: Final = 4
CFG_STRATEGY: Final = 5
CFG_MAKER: Final = 6  # rates in 1e-8
CFG_TAKER: Final = 7
CFG_FEE_IN_BASE: Final = 8  # 1: a buy pays its fee in base
CFG_LOT_UNITS: Final = 9  # 1e-8 base units of a lot
CFG_QUOTE_NUM: Final = 10  # 1e-8 quote units of tick*lot, as a ratio
CFG_QUOTE_DEN: Final = 11
CFG_MIN_PRICE: Final = 12
CFG_MAX_PRICE: Final = 13
CFG_MIN_QTY: Final = 14
CFG_MAX_QTY: Final = 15
CFG_MARKET_MAX_QTY: Final = 16
CFG_MIN_NOTIONAL: Final = 17  # tick*lot
CFG_MAX_NOTIONAL: Final = 18
CFG_MAX_ORDERS: Final = 19
CFG_CHECK_BALANCE: Final = 20
CFG_LIMITED: Final = 21
CFG_RECORD: Final = 22  # 0 nothing, 1 fills, 2 all reports
CFG_CURVE: Final = 23
CFG_SLOTS: Final = 24  # order slots a lane
CFG_PARITY: Final = 25  # 1: hftbacktest's rules, see docs/parity.md
CFG_ASK: Final = 26  # 1: every decision waits until it has been looked at from outside
CFG_DAY_OFFSET: Final = 27  # ns added to a time before its day is counted
CFG_TOUCH_ONLY: Final = 28  # 1: the tape tells only the best level of a side, see book.hide_behind
CFG_LATENCY: Final = 29  # LATENCY_CONSTANT, ...
CFG_SEED: Final = 30
CFG_FEE_OTHER: Final = 31  # 1: fees are paid in a third asset, quote units * CFG_FEE_NUM / CFG_FEE_DEN of it
CFG_FEE_NUM: Final = 32
CFG_FEE_DEN: Final = 33
CFG_IMPACT: Final = 34  # IMPACT_NONE, ...
CFG_RECENT: Final = 35  # decisions of the last minute with new orders that a lane can remember, 0: it need not
CFG_MARKET_MIN_QTY: Final = 36
CFG_MARKET_STEP: Final = 37
CFG_MAX_STOPS: Final = 38
CFG_REFERENCE: Final = 39  # REFERENCE_NONE, ...
CFG_REFERENCE_NS: Final = 40  # length of the average, 0: the last price
CFG_TICK_NUM: Final = 41  # 1e-8 quote units of a tick, as a ratio
CFG_TICK_DEN: Final = 42
CFG_SHARES: Final = 43  # 8: ticks of the lowest and highest bid, then ask, for a unit of the reference price, as ratios
CFG_WORTH_MIN: Final = 51  # of a market order, 1e-8 quote units, 0: no bound
CFG_WORTH_MAX: Final = 52
CFG_LOT_NUM: Final = 53  # a lot, base, as a ratio
CFG_LOT_DEN: Final = 54
CFG_FUNDING: Final = 55  # 1: positions pay and receive funding
CFG_FULL_WORTH: Final = 56  # 1: equity is more than what fills and commissions in base and quote left
CFG_COUNT: Final = 64
CFG_F_POWER: Final = 0
CFG_F_TICK: Final = 1
CFG_F_LOT: Final = 2
CFG_F_LIMITS: Final = 3  # 13: LimitValues
CFG_F_FEE_PRICE: Final = 16  # of the third asset, quote
CFG_F_MEDIAN: Final = 17  # 2: sampled latency of entry and response, ns
CFG_F_SIGMA: Final = 19  # of its logarithm
CFG_F_SPIKE: Final = 20  # ns
CFG_F_SPIKE_ODDS: Final = 21
CFG_F_IMPACT: Final = 22  # factor Y
CFG_F_IMPACT_SIGMA: Final = 23  # volatility a day, 0: measured
CFG_F_IMPACT_VOLUME: Final = 24  # lots a day, 0: measured
CFG_F_COUNT: Final = 32

LATENCY_CONSTANT: Final = 0
LATENCY_TABLE: Final = 1
LATENCY_SAMPLED: Final = 2

REFERENCE_NONE: Final = 0  # no filter is relative to a reference price
REFERENCE_PRINTS: Final = 1
REFERENCE_MARKS: Final = 2

IMPACT_NONE: Final = 0
IMPACT_GIVEN: Final = 1
IMPACT_MEASURED: Final = 2  # volume, volatility or both

QUEUE_RISK_AVERSE: Final = 0
QUEUE_PROB: Final = 1
QUEUE_PROB_LOG: Final = 2
QUEUE_FRONT: Final = 3

# -- queue nodes: up to fourteen orders that joined one (side, price) after one packet (array `node`, int32) ----------
N_OLDER: Final = 0  # the node of the price before it, -1: none; in the pool as K_NEXT
N_POSITION: Final = 1  # -1: its price is outside the window
N_FIRST: Final = 2  # the slots of those that joined, by arrival, then -1; some may have left, see nodes.stands
NODE_FIELDS: Final = 16  # a line of the processor's cache
TAIL_COLUMN: Final = 28  # (array `tail`, int64, by position) youngest node + 1; from this bit on the column that its
TAIL_OPEN: Final = 32  # next order takes; whether one may join, which a last column's order ends by carry; its packet
Q_AHEAD: Final = 0  # (array `node_q`, float64) lots ahead
Q_TRADED: Final = 1  # prints at the price since the level's last row, where the queue model asks for it
Q_TURN: Final = 2  # 2 * number of the node among all there ever were + side; whole, and exact up to 2**53
Q_PRICE: Final = 3  # ticks, of one whose price is outside the window
NODE_Q_FIELDS: Final = 4

# -- order slots: what was ordered (array `order`, int64) and where it stands (array `place`, int32) ------------------
O_PRICE: Final = 0
O_QTY: Final = 1
O_LEAVES: Final = 2
O_NUMBER: Final = 3
ORDER_FIELDS: Final = 4
P_SPOT: Final = 0  # where it rests: node * NODE_FIELDS + column
P_NEXT: Final = 1  # in the pool: next free slot of the lane
P_WHOSE: Final = 2  # lane * 256 + state * 32 + side * 16 + kind * 8 + time in force
PLACE_FIELDS: Final = 4  # one is not used, so that no place lies across two lines
TAG: Final = 0  # (array `tag`, int64, by slot) the caller's number
LATE: Final = 1  # 1: a cancel follows at the instant of its arrival
STOP_PRICE: Final = 2  # ticks of a stop order
STOP_WAY: Final = 3  # NO_STOP, RISES, FALLS
TAG_FIELDS: Final = 4

FREE: Final = 0
SENT: Final = 1
WAITING: Final = 2
RESTING_STATE: Final = 3
DEAD: Final = 4  # but the lane does not know it yet, or its cancel is still on its way
STOPPED: Final = 5  # a stop order whose price has not printed
SET_OFF: Final = 6  # a stop order whose price has: it arrives at the end of the instant, or of the gap

# -- lanes (int64): two cache lines that every decision touches, two that fills touch, the rest -----------------------
L_KNOWN: Final = 0  # 4: position, cash, fees as far as the lane knows; compare L_POSITION
L_SLOT_FREE: Final = 4
L_RESTING: Final = 5
L_KNOWN_FIRST: Final = 6  # what it will come to know, by time
L_TAKEN: Final = 7  # first entry of what it has taken
L_BOUND: Final = 8  # 2: no own order of the side has a better index-like price
L_ALIVE: Final = 10  # 2: orders of a side neither known dead nor sent a cancel
L_BASE_START: Final = 12  # 1e-8
L_QUOTE_START: Final = 13
L_ORDERS: Final = 14
L_CANCELS: Final = 15
L_POSITION: Final = 16  # true state: lots, tick*lots, 1e-8
L_CASH: Final = 17
L_FEE_BASE: Final = 18
L_FEE_QUOTE: Final = 19
L_PRINT: Final = 20  # print that L_USED is of
L_USED: Final = 21  # lots of that print it has had
L_FILLS: Final = 22
L_BUYS: Final = 23
L_SELLS: Final = 24
L_CLOSED: Final = 25
L_WINS: Final = 26
L_MAX_POSITION: Final = 27
L_IN_POSITION: Final = 28  # ns with a position
L_SINCE: Final = 29  # since when there is one
L_REJECTS: Final = 30
L_GREW: Final = 31  # 1: it has slots beyond its first block
L_LAST_ARRIVAL: Final = 32
L_LIMITED: Final = 33  # decisions at which a limit cut something
L_CUT: Final = 34  # limits that cut something at the newest decision, a mask of risk.gate
L_HALTED: Final = 35  # limits that still halt though the breach may be over
L_SENT: Final = 36  # new orders in the last 60 s, where they are limited
L_LEAVING: Final = 37  # decisions in a row at which its position had to go and was not flat
L_CLEAR: Final = 38  # when it has heard that all its orders are withdrawn, so that it may take
L_JOINED: Final = 39  # 1: quotes of the newest decision met on a tick, so its orders are fewer
LANE_FIELDS: Final = 40

# -- lanes (float64), quote currency unless said; the first cache line is what every decision touches -----------------
F_LAST: Final = 0  # last equity in the sums
F_NEWEST: Final = 1  # newest sample, not in the sums yet
F_PEAK: Final = 2
F_DRAWDOWN: Final = 3
F_RETURN: Final = 4
F_RETURN_SQ: Final = 5
F_DOWNSIDE_SQ: Final = 6
F_KNOWN_VALUE: Final = 7  # sum of entry prices of the known position, tick*lots
F_DAY: Final = 8  # equity at the day's start
F_START: Final = 9  # equity at the start
F_VOLUME: Final = 10
F_FEES_VALUE: Final = 11
F_COST: Final = 12  # net payment for the open position, commission included
F_ENTRY: Final = 13  # quantity-weighted sum of entry times since the start, lots * ns
F_CLOSED: Final = 14
F_CLOSED_SQ: Final = 15
F_WIN: Final = 16
F_LOSS: Final = 17
F_DURATION: Final = 18
LANE_F_FIELDS: Final = 24

# -- what a lane will come to know (int64) ----------------------------------------------------------------------------
K_NEXT: Final = 0  # of the lane; in the pool: next free entry less the one after this, so that zeros are a pool
K_TIME: Final = 1
K_SLOT: Final = 2  # an order that died, -1: none did
K_NUMBER: Final = 3
K_QTY: Final = 4  # signed lots
K_PRICE: Final = 5
K_FEE_BASE: Final = 6
K_FEE_QUOTE: Final = 7
KNOWN_FIELDS: Final = 8

# -- what a lane has taken of a level (int64) -------------------------------------------------------------------------
T_OWNER: Final = 0  # lane + 1, 0: the entry is free
T_POSITION: Final = 1
T_QTY: Final = 2
T_NEXT: Final = 3  # of the lane; in the pool as K_NEXT
T_PREV: Final = 4
T_LEVEL_NEXT: Final = 5  # of the level
T_LEVEL_PREV: Final = 6
TAKEN_FIELDS: Final = 7

# -- views of decisions to come (int64) -------------------------------------------------------------------------------
V_UNTIL: Final = 0  # the view of every decision before this time
V_WHOLE: Final = 1
V_MID2: Final = 2  # last mid of a whole book, 0: none yet
V_BID: Final = 3
V_ASK: Final = 4
V_BID_QTY: Final = 5
V_ASK_QTY: Final = 6
CAPTURE_FIELDS: Final = 8

# -- messages of a decision (int64) -----------------------------------------------------------------------------------
B_ARRIVAL: Final = 0
B_END: Final = 1  # in the ring of messages
B_MERGED: Final = 2  # 1: those of several decisions that arrive together
BATCH_FIELDS: Final = 3

# -- calls from outside (int64) ---------------------------------------------------------------------------------------
C_ARRIVAL: Final = 0
C_SLOT: Final = 1  # order slot of a new order; -1: a cancel or an amendment
C_LANE: Final = 2
C_NUMBER: Final = 3
C_LATE: Final = 4  # 1: a cancel or amendment that waits for the arrival of its order
C_QTY: Final = 5  # lots that an amendment wants, 0: a cancel
CALL_FIELDS: Final = 6

# -- stop orders in order of arrival (int64) ---------------------------------------------------------------------------
STOP_SLOT: Final = 0
STOP_NUMBER: Final = 1
STOP_FIELDS: Final = 2

# -- prices that the reference price is made of: prints, or mark prices of one lot (int64) -----------------------------
PRICED_TS: Final = 0
PRICED_PRICE: Final = 1
PRICED_LOTS: Final = 2  # sums up to and with this one, modulo 2**64: their differences are exact
PRICED_CASH: Final = 3  # tick*lots
PRICED_FIELDS: Final = 4

# -- funding a lane has paid, less what it received (int64, 1e-8 quote units), where there is any ----------------------
PAID_KNOWN: Final = 0  # as far as the lane knows
PAID: Final = 1
PAID_FIELDS: Final = 2

# -- recorded latencies (int64) ---------------------------------------------------------------------------------------
LATENCY_TS: Final = 0
LATENCY_ENTRY: Final = 1
LATENCY_RESPONSE: Final = 2
LATENCY_FIELDS: Final = 3

# -- what impact is measured by (float64) -----------------------------------------------------------------------------
TALLY_SQUARES: Final = 0  # sum of squared log returns of the mid
TALLY_MID: Final = 1  # twice the mid they were counted up to, 0: none
TALLY_FIELDS: Final = 2

# -- when a lane sent new orders in the last minute (array `recent`, int64, by lane): a ring ---------------------------
RECENT_FIRST: Final = 0  # the oldest entry
RECENT_USED: Final = 1
RECENT_ENTRY: Final = 2  # first entry: its decision's time, and how many orders

# -- log (int64): reports, columns of REPORT --------------------------------------------------------------------------
LOG_FIELDS: Final = 15

TARGET_WIDTH: Final = MAX_LEVELS

# What a kernel answers.
DONE: Final = 0
GROW_LOG: Final = 1
GROW_KNOWN: Final = 2
GROW_TAKEN: Final = 3
GROW_CURVE: Final = 4
GROW_CAPTURE: Final = 5
BAD_TIME: Final = 6  # venue time falls, or changes inside a packet
MOVE: Final = 7  # the window has to move to the register MOVE_TO
LOOK: Final = 8  # a decision is to be taken: look, set parameters, and go on


class State(NamedTuple):
    """Everything a run knows; columns as named above.

    Attributes
    ----------
    qty
        Levels of the true book, with the first registers a :class:`tidewright.market.ladder.Ladder`.
    mark, tail, taken_head, epoch
        By position: whether there are nodes (1) or taken quantities (2); youngest queue node; first taken entry + 1,
        0 for none, so that prices nobody uses cost no memory; epoch in which the level was last set to more than 0, as
        far as touches need it.
    reg, cfg, cfg_f
        Registers, rules of the run.
    features
        State of :mod:`tidewright.market.features`.
    node, node_q, resting, listed
        Queue nodes; how many orders rest in each, 0: the node is free; buffer of those of a price, or of those that
        lanes have left while they act.
    order, place, lane, lane_f, tag, alive, params
        Order slots, lanes, callers' numbers, slots of the orders that lanes believe alive (by 2 * lane + side),
        strategy parameters.
    msg, batch, call, waiting
        Messages under way: ring of slots (``~slot`` a cancel), each decision's messages; calls from
        outside; orders that wait for the end of a gap.
    stop, latency, tally
        Stop orders; recorded latencies; sums that impact is measured by.
    recent
        When lanes sent new orders, where their rate is limited.
    priced
        What the reference price of filters is made of.
    funding
        What lanes have paid, where there is funding.
    known, taken, capture, log, curve_ts, curve
        Pools and logs.
    target
        Buffer of target quotes: bid prices, bid quantities, ask prices, ask quantities; then of standing orders.
    """

    qty: I64
    mark: U8
    tail: I64
    taken_head: I32
    epoch: I32
    reg: I64
    cfg: I64
    cfg_f: F64
    features: F64
    node: I32
    node_q: F64
    resting: I32
    listed: I32
    order: I64
    place: I32
    lane: I64
    lane_f: F64
    tag: I64
    alive: I32
    params: F64
    msg: I32
    batch: I64
    call: I64
    waiting: I64
    known: I64
    taken: I64
    capture: I64
    log: I64
    curve_ts: I64
    curve: F64
    target: I64
    stop: I64
    latency: I64
    tally: F64
    recent: I64
    priced: I64
    funding: I64
