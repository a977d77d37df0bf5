# What handlers are given, and nothing else.
import json
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept, context):
    data = body.encode() if isinstance(body, str) else body
    seen = context.get_all_request_header(0)
    return json.dumps({"type": type(body).__name__, "body": None if data is None else bytes(data).decode("latin-1"),
                       "content_type": content_type, "accept": accept,
                       "seen": [[k, v] for k, v in seen.items() if k.lower() != "host"]})
