"""Training jobs: the user's script as a process on this machine, under the contract of SageMaker's containers.

`operations` answers the API, `jobs` keeps what becomes of each job, `run` takes one through its stages. The contract is
that of the ``sagemaker-training`` toolkit (``environment.py``, ``entry_point.py``, ``process.py``), which the PyTorch
images run: `layout` is its ``/opt/ml``, `contract` its environment and command line.
"""
