# The page with the embedded model inside; serves without network.
#   docker build -t omnizip . && docker run -p 7860:7860 omnizip
# On a GPU, with a checkpoint kept in a volume:
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

COPY --chown=user requirements.txt .
RUN pip install --no-cache-dir --user -r requirements.txt
COPY --chown=user . .

VOLUME /home/user/.cache/huggingface
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=5s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/config', timeout=4)"]
CMD ["python", "app.py"]
