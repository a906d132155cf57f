// What is known of a debate, from its events. Nothing here touches the page: `apply` takes the state and one event.

export function begin() {
  return {
    debate: null, question: "", seats: [], edges: [], rounds: 1, plan: null,
    turns: new Map(),      // id -> {id, round, seat, persona, kind, text, status, heard, position, flippedFrom, reason}
    support: [],           // rows {answer, share, seats}
    answerOf: new Map(),   // seat -> the answer it stands for, as the support table spells it
    colours: new Map(),    // answer -> index of its colour, by order of appearance
    notes: [], record: null,
  };
}

export function apply(state, event) {
  const change = CHANGES[event.event];
  if (change) change(state, event);
  return state;
}

const CHANGES = {
  convened(state, { debate, question, plan }) {
    state.debate = debate;
    state.question = question.question ?? question.text;
    state.plan = plan;
    state.seats = plan.seats.map(({ seat, persona }) => ({ seat, persona }));
    state.edges = plan.edges.map(([from, to]) => ({ from, to }));
    state.rounds = plan.rounds;
  },
  turn_started(state, { turn, round, seat, persona, kind, heard }) {
    state.turns.set(turn, { id: turn, round, seat, persona, kind, heard, text: "", status: "speaking" });
  },
  turn_delta(state, { turn, text }) {
    const said = state.turns.get(turn);
    if (said) said.text += text;
  },
  turn_retried(state, { turn, reason }) {
    const said = state.turns.get(turn);
    if (said) Object.assign(said, { text: "", retry: reason });
  },
  turn_finished: close,
  turn_failed: close,
  turn_cancelled: close,
  support_moved(state, { decision }) { weigh(state, decision); },
  noted(state, { note }) { state.notes.push(note); },
  decided(state, { answer }) {
    state.record = answer;
    for (const turn of answer.turns) settle(state, turn);
    weigh(state, answer.decision);
  },
};

function close(state, { turn }) { settle(state, turn); }

function settle(state, turn) {
  state.turns.set(turn.id, { ...turn, flippedFrom: turn.flipped_from });
}

function weigh(state, decision) {
  state.support = decision.support;
  state.answerOf.clear();
  for (const { answer, seats } of decision.support) {
    if (!state.colours.has(answer)) state.colours.set(answer, state.colours.size % 8);
    for (const seat of seats) state.answerOf.set(seat, answer);
  }
}

export function turnsOf(state, seat) {
  return [...state.turns.values()].filter((turn) => turn.seat === seat).sort((a, b) => a.round - b.round);
}

export function percent(share) { return `${Math.round(100 * share)}%`; }
