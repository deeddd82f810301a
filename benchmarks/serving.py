"""Rewards of a served reward model compared with the same model in this process, and their latency.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db python benchmarks/serving.py [--model models:/reward-model@champion]

Starts `mlflow models serve` on this machine, sends it the comparisons that the model was trained on (prompt and first
response), and prints the largest difference, requests per second and latency of one client at batch 1 and 64.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import mlflow
import numpy as np
import pandas as pd
import requests
from mlflow import MlflowClient
from transformers import AutoTokenizer

from mlproject.models.reward_model import RewardModel
from mlproject.models.sequences import encode
from mlproject.names import Artifact, Role, Tag
from mlproject.registry.versions import resolve_proxy
from mlproject.tracking.run_data import artifact


@contextmanager
def served(model: str):
    """Start a server for the model; yields its address once it responds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "-m",
        model,
        "--env-manager",
        "local",
        "-p",
        str(port),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server, address, start = subprocess.Popen(command, **quiet), f"http://127.0.0.1:{port}", time.time()
    try:
        while True:
            try:
                if requests.get(f"{address}/ping", timeout=1).ok:
                    break
            except requests.RequestException:
                if server.poll() is not None or time.time() - start > 180:
                    raise RuntimeError("the server did not start within 180 s") from None
                time.sleep(0.2)
        print(f"ready after {time.time() - start:.1f} s")
        yield address
    finally:
        server.terminate()
        server.wait()


def scores(session: requests.Session, address: str, pairs: pd.DataFrame) -> list[float]:
    """Rewards of some pairs from one request."""
    answer = session.post(
        f"{address}/invocations", json={"dataframe_split": pairs.to_dict(orient="split", index=False)}
    )
    answer.raise_for_status()
    return [row["reward"] for row in answer.json()["predictions"]]


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models:/reward-model@champion")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of the load at each batch size")
    options = parser.parse_args()
    client = MlflowClient(mlflow.get_tracking_uri())
    proxy = resolve_proxy(client, options.model)
    comparisons = json.loads(proxy.data.tags[Tag.INPUTS])[Role.COMPARISONS]
    table = pd.read_parquet(artifact(client, comparisons, Artifact.COMPARISONS))
    pairs = pd.DataFrame({"prompt": table.prompt, "response": table.response_a}).head(options.pairs)
    folder = artifact(client, proxy.info.run_id, Artifact.MODEL)
    local, tokenizer = RewardModel.load(folder), AutoTokenizer.from_pretrained(folder)
    longest = local.model.config.max_response_tokens
    expected = local.scores(encode(tokenizer, pairs.prompt.tolist(), pairs.response.tolist(), longest))
    with served(options.model) as address, requests.Session() as session:
        served_rewards = [s for i in range(0, len(pairs), 64) for s in scores(session, address, pairs.iloc[i : i + 64])]
        gap = np.abs(expected - np.array(served_rewards))
        print(
            f"{len(pairs)} pairs: largest difference {gap.max():.2e}, "
            f"rewards from {expected.min():.2f} to {expected.max():.2f}"
        )
        for batch in (1, 64):
            seconds, start = [], time.perf_counter()
            while time.perf_counter() - start < options.seconds:
                at = (len(seconds) * batch) % (len(pairs) - batch + 1)
                sent = time.perf_counter()
                scores(session, address, pairs.iloc[at : at + batch])
                seconds.append(time.perf_counter() - sent)
            total, ms = time.perf_counter() - start, 1000 * np.array(seconds)
            print(
                f"batch {batch}: {len(seconds) / total:.0f} requests/s ({batch * len(seconds) / total:.0f} pairs/s), "
                f"latency median {np.median(ms):.1f} ms, 95th percentile {np.percentile(ms, 95):.1f} ms"
            )


if __name__ == "__main__":
    main()
