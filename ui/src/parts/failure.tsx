import { useEffect } from "preact/hooks";
import type { ApiError } from "../api/client";
import { useNewest } from "../lib/hooks";
import { href } from "../lib/router";
import { Icon } from "./icons";
import { Prose } from "./text";

const RETRY_MS = 2000;

/** An error in place of data: its message, and the next step. A server that is away is tried again. */
export function Failure({ error, retry }: { error: ApiError; retry?: () => void }) {
  const again = useNewest(() => retry?.());
  const isAway = error.code === "offline" && !!retry;
  useEffect(() => {
    if (!isAway) return;
    const timer = setInterval(again, RETRY_MS);
    return () => clearInterval(timer);
  }, [isAway]);
  return (
    <div class="notice bad failure" role="alert">
      <Icon name="warning" />
      <div class="grow">
        <p>
          <Prose
            text={
              error.code === "unauthorized"
                ? "This tab has no key to the journal. Open the link that `plsync ui` printed."
                : error.message
            }
          />
        </p>
        {error.candidates.length > 0 && (
          <ul>
            {error.candidates.map((id) => (
              <li key={id}>
                <a class="mono" href={href(`call/${id}`)}>
                  {id}
                </a>
              </li>
            ))}
          </ul>
        )}
      </div>
      {retry && !isAway && error.code !== "unauthorized" && error.code !== "page" && (
        <button class="button small" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading() {
  return (
    <p class="mute loading" role="status" aria-busy="true">
      <Icon name="ring" spin /> Loading…
    </p>
  );
}
