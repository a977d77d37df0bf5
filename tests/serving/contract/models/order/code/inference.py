# The answer that the body orders.
import json, sys, torch, numpy as np
from sagemaker_inference.errors import BaseInferenceToolkitError, GenericInferenceToolkitError, UnsupportedFormatError
class Odd(Exception):
    def __str__(self): raise RuntimeError("no text")
class Sub(BaseInferenceToolkitError): pass
def loop():
    l = []; l.append(l); return l
def deep():
    l = []
    for _ in range(100000): l = [l]
    return l
def model_fn(model_dir): return None
def input_fn(body, content_type): return json.loads(bytes(body)) if not isinstance(body, str) else json.loads(body)
def predict_fn(order, model, context):
    for call, *arguments in order.get("calls", ()): getattr(context, call)(*arguments)
    if "raise" in order: raise eval(order["raise"])
    return order
def output_fn(order, accept, context):
    for call, *arguments in order.get("late", ()): getattr(context, call)(*arguments)
    return eval(order["return"]) if "return" in order else b"done"
