/** Python: what huggingface_hub's scan of the cache `argv[1]` complains about, as a JSON list of strings. */
export const SCAN_PROBLEMS = `
import json, os, sys
from huggingface_hub import scan_cache_dir
found = []
if os.path.isdir(sys.argv[1]):
    info = scan_cache_dir(sys.argv[1])
    found = [str(w) for w in info.warnings]
    files = [f for repo in info.repos for revision in repo.revisions for f in revision.files]
    found += [f"the scan shows {f.file_name}" for f in files if f.file_name.endswith(".tmp")]
print(json.dumps(found))
`;
