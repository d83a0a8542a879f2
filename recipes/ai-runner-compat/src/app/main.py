"""`python -m app.main`: serve what ``PIPELINE`` and ``MODEL_ID`` say."""

from ai_runner_compat.start import create_app

app = create_app()

if __name__ == "__main__":
    app.run()
