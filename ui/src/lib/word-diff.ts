export interface Piece {
  value: string;
  added?: boolean;
  removed?: boolean;
}

// More differences than this are not worth their marks, and would block the page.
const MOST_EDITS = 1000;

const words = (text: string) => text.match(/[\p{L}\p{N}_]+|\s+|[^\p{L}\p{N}_\s]/gu) ?? [];

/** The shortest edits that turn the words of one text into the words of another (Myers); null for too many. */
export function wordDiff(a: string, b: string): Piece[] | null {
  const [from, to] = [words(a), words(b)];
  const most = Math.min(from.length + to.length, MOST_EDITS);
  // The furthest position in `from` on each diagonal, for each number of edits.
  const rounds: Map<number, number>[] = [];
  let reached = new Map([[1, 0]]);
  for (let edits = 0; edits <= most; edits++) {
    rounds.push(new Map(reached));
    for (let k = -edits; k <= edits; k += 2) {
      const [left, right] = [reached.get(k - 1) ?? -1, reached.get(k + 1) ?? -1];
      let x = k === -edits || (k !== edits && left < right) ? right : left + 1;
      while (x < from.length && x - k < to.length && from[x] === to[x - k]) x++;
      reached.set(k, x);
      if (x >= from.length && x - k >= to.length) return pieces(from, to, rounds, edits);
    }
  }
  return null;
}

function pieces(from: string[], to: string[], rounds: Map<number, number>[], edits: number): Piece[] {
  const found: Piece[] = [];
  const add = (piece: Piece) => {
    const last = found.at(-1);
    if (last && last.added === piece.added && last.removed === piece.removed) last.value = piece.value + last.value;
    else found.push(piece);
  };
  let [x, y] = [from.length, to.length];
  for (let d = edits; x > 0 || y > 0; d--) {
    const reached = rounds[d] as Map<number, number>;
    const k = x - y;
    const [left, right] = [reached.get(k - 1) ?? -1, reached.get(k + 1) ?? -1];
    const down = k === -d || (k !== d && left < right);
    const [beforeX, beforeY] = d ? (down ? [right, right - k - 1] : [left, left - k + 1]) : [0, 0];
    while (x > beforeX + (d && !down ? 1 : 0) && y > beforeY + (d && down ? 1 : 0)) {
      add({ value: from[--x] as string });
      y--;
    }
    if (d) add(down ? { value: to[--y] as string, added: true } : { value: from[--x] as string, removed: true });
  }
  return found.reverse();
}
