import { useEffect, useState } from "preact/hooks";
import type { JournalInfo } from "../api/types";

export interface Session {
  journal: JournalInfo | null;
  reload: () => void;
  /** Whether scores, metadata and retries can be queued here. */
  canWrite: boolean;
}

let session: Session = { journal: null, reload: () => {}, canWrite: false };
const listeners = new Set<(session: Session) => void>();

export function setSession(next: Session): void {
  session = next;
  for (const listener of listeners) listener(next);
}

export function useSession(): Session {
  const [now, set] = useState(session);
  useEffect(() => {
    listeners.add(set);
    set(session);
    return () => void listeners.delete(set);
  }, []);
  return now;
}
