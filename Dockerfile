# The page with the embedded model inside; serves without network.
#   docker build -t omnizip . && docker run -p 7860:7860 omnizip
# On a GPU (the host needs NVIDIA's driver and container toolkit; torch brings the CUDA libraries), checkpoints kept in a volume:
#   docker run --gpus all -p 7860:7860 -v hub:/home/user/.cache/huggingface -e OMNIZIP_MODEL=Qwen/Qwen2.5-Omni-7B -e HF_HUB_OFFLINE=0 omnizip
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 user
USER user
ENV HOME=/home/user \
    PATH=/home/user/.local/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_OFFLINE=1 \
    OMNIZIP_HOST=0.0.0.0 \
    OMNIZIP_PORT=7860
WORKDIR /home/user/app

# Before the code, so that a change of code does not install everything again.
COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user -r requirements.txt
COPY --chown=user . .

# Made by the user, or a new volume would belong to root.
RUN mkdir -p /home/user/.cache/huggingface
VOLUME /home/user/.cache/huggingface
EXPOSE 7860
# The front page answers while a checkpoint loads, and also where visitors have to log in.
HEALTHCHECK --start-period=120s --interval=30s --timeout=10s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['OMNIZIP_PORT'], timeout=8)"]
CMD ["python", "app.py"]
