# What a handler does is in the request: code for input_fn, predict_fn and output_fn.
import collections, contextlib, datetime, decimal, enum, fractions, gc, io, itertools, json, logging, os, pathlib, random, re, signal, sys, threading, time, types, uuid, warnings
import numpy as np
import torch
from sagemaker_inference.errors import BaseInferenceToolkitError, GenericInferenceToolkitError, UnsupportedFormatError
STATE = {}
def run(code, **names):
    scope = {**globals(), **names}
    exec(code, scope)
    return scope.get("out")
def model_fn(model_dir): return None
def input_fn(body, content_type, context):
    order = json.loads(body)
    if "input" in order: run(order["input"], body=body, content_type=content_type, context=context)
    return order
def predict_fn(order, model, context):
    if "predict" in order: order["value"] = run(order["predict"], context=context)
    return order
def output_fn(order, accept, context):
    return run(order["output"], context=context, accept=accept, value=order.get("value")) if "output" in order else b"done"
