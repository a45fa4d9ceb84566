import { fileName, saveBlob, send } from "../api/client";
import { asError } from "../lib/hooks";
import { toast } from "../lib/notes";
import { useSession } from "../lib/session";
import { Item, Menu } from "../parts/menu";

const FORMATS = [
  ["html", "HTML page that opens offline", "calls.html"],
  ["jsonl", "JSON lines", "calls.jsonl"],
  ["recording", "Recording for tests", "recording.jsonl"],
] as const;

/** Save the calls of the filters, or the selected ones, as a file. */
export function ExportMenu({ filters, ids }: { filters?: string; ids?: string[] }) {
  const { journal } = useSession();
  const save = async (format: string, name: string) => {
    toast("The file is being made…");
    try {
      const response = await send("/api/export", ids ? { format, ids } : { format, query: filters ?? "" });
      saveBlob(await response.blob(), fileName(response, name));
      toast("The file is saved.");
    } catch (error) {
      toast(asError(error).message);
    }
  };
  return (
    <Menu label="Export" icon="download" small={!!ids}>
      {FORMATS.filter(([format]) => format === "html" || !journal?.hide_content).map(([format, label, name]) => (
        <Item key={format} icon="file" act={() => save(format, name)}>
          {label}
        </Item>
      ))}
    </Menu>
  );
}
