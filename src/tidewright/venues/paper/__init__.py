"""An exchange of our own that speaks Binance's spot protocol."""
