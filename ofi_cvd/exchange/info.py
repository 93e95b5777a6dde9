"""`exchangeInfo`: rules and filters of the symbols, complete enough for other people's clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ofi_cvd.exchange.venue_limits import VenueLimits
from ofi_cvd.simulator.instruments import instrument_for

Json: TypeAlias = dict[str, object]

_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "BTC", "ETH")


def exchange_info(symbols: Iterable[str], limits: VenueLimits, now_ms: int) -> Json:
    """Return the document for `symbols` at exchange time `now_ms`."""
    describe = _perpetual if limits.venue == "usdm" else _pair
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": limits.weight_per_minute,
            }
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [describe(symbol) for symbol in symbols],
    }


def split_symbol(symbol: str) -> tuple[str, str]:
    """Return base and quote asset of `symbol`; an unknown quote is taken to be the last four letters."""
    quote = next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), symbol[-4:])
    return symbol.removesuffix(quote), quote


def _perpetual(symbol: str) -> Json:
    base, quote = split_symbol(symbol)
    rules = instrument_for(symbol)
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": rules.price_decimals,
        "quantityPrecision": rules.qty_decimals,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            *_filters(symbol),
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _pair(symbol: str) -> Json:
    base, quote = split_symbol(symbol)
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"],
        "icebergAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            *_filters(symbol),
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True, "avgPriceMins": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _filters(symbol: str) -> list[Json]:
    rules = instrument_for(symbol)
    lots = {"minQty": rules.lot, "maxQty": "1000000", "stepSize": rules.lot}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": rules.tick, "maxPrice": "10000000", "tickSize": rules.tick},
        {"filterType": "LOT_SIZE", **lots},
        {"filterType": "MARKET_LOT_SIZE", **lots},
    ]
