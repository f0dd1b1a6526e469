"""The least that a typer program costs: what the start of nsagent is measured against."""

import typer

app = typer.Typer()


@app.command()
def main() -> None:
    """Do nothing."""


if __name__ == "__main__":
    app()
