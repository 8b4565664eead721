"""Ray Data over the same images with the same network: read_images, map_batches, write_parquet. Part of throughput.py.

PYTHON benchmarks/ray_data.py FOLDER WEIGHTS OUT [--bf16] [--network NAME] [--gpu]

PYTHON's environment has torch, torchvision and ray[data]. Two actors of one thread each share two cores better than one
of two; on a GPU there is one actor, and batches are larger. Prints images per second as JSON, from the end of the first
batch to that of the last.
"""

import argparse
import json
import os
import time

import pyarrow.parquet as pq
import ray
import torch
import torchvision

BATCH, GPU_BATCH = 64, 256


class Embed:
    """One actor: its network, and a batch at a time."""

    def __init__(self, weights: str, bf16: bool, name: str, device: str) -> None:
        torch.set_num_threads(1)
        self.device = device
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        network = torchvision.models.get_model(name, weights=None)
        network.load_state_dict(torch.load(weights, weights_only=True))
        self.network = network.eval().to(device, self.dtype).to(memory_format=torch.channels_last)
        self.transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()

    def __call__(self, batch):
        """Return paths and vectors (images, 1000) of images (images, height, width, 3)."""
        images = torch.from_numpy(batch["image"]).to(self.device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            vectors = self.network(self.transform(images).to(self.dtype)).float().cpu().numpy()
        return {"path": batch["path"], "values": vectors, "finished": [time.time()] * len(vectors)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--gpu", action="store_true")
    given = parser.parse_args()
    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    images = ray.data.read_images(given.folder, mode="RGB", include_paths=True)
    device = "cuda" if given.gpu else "cpu"
    arguments = {"weights": given.weights, "bf16": given.bf16, "name": given.network, "device": device}
    where = {"num_cpus": 1, "num_gpus": 1} if given.gpu else {"num_cpus": 0.5}
    embedded = images.map_batches(
        Embed,
        batch_size=GPU_BATCH if given.gpu else BATCH,
        compute=ray.data.ActorPoolStrategy(size=1 if given.gpu else os.cpu_count()),
        fn_constructor_kwargs=arguments,
        batch_format="numpy",
        **where,
    )
    embedded.write_parquet(given.out)
    finished = pq.read_table(given.out, columns=["finished"])["finished"].to_numpy()
    first, last = finished.min(), finished.max()
    counted = int((finished > first).sum())
    print(json.dumps({"images": len(finished), "rate": counted / (last - first)}))


if __name__ == "__main__":
    main()
