import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { JournalInfo } from "../api/types";

export interface Session {
  journal: JournalInfo | null;
  reload: () => void;
  /** Whether scores, metadata and retries can be queued here. */
  canWrite: boolean;
}

export const SessionContext = createContext<Session>({ journal: null, reload: () => {}, canWrite: false });
export const useSession = () => useContext(SessionContext);
