"""Live video as a painting: 26 styles, blended by sliders."""
