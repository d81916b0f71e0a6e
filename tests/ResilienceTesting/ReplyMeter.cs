namespace Platform.ResilienceTesting;

/// <summary>Counts the bytes of a reply's body that have been forwarded. For HTTP/1 the headers don't count; for other protocols the whole reply is the body.</summary>
internal sealed class ReplyMeter
{
    private int _start;
    private int _blankLine;
    private bool _inBody;
    private long _passed;

    private static ReadOnlySpan<byte> HttpStart => "HTTP/1."u8;

    private static ReadOnlySpan<byte> BlankLine => "\r\n\r\n"u8;

    /// <summary>Starts a new reply, after a request was sent.</summary>
    public void NewReply() => (_start, _blankLine, _inBody, _passed) = (0, 0, false, 0);

    /// <summary>How many of the bytes may be forwarded without the body exceeding the limit. They are counted as forwarded.</summary>
    public int Take(ReadOnlySpan<byte> bytes, long limit)
    {
        var taken = 0;
        while (!_inBody && taken < bytes.Length)
        {
            var next = bytes[taken];
            if (_start < HttpStart.Length)
            {
                if (next != HttpStart[_start])
                {
                    // Not HTTP, so the bytes counted as headers so far belong to the body.
                    _inBody = true;
                    _passed = _start;
                    break;
                }

                _start++;
            }
            else
            {
                _blankLine = next == BlankLine[_blankLine] ? _blankLine + 1 : next == BlankLine[0] ? 1 : 0;
                _inBody = _blankLine == BlankLine.Length;
            }

            taken++;
        }

        if (_inBody)
        {
            var body = (int)Math.Clamp(limit - _passed, 0, bytes.Length - taken);
            _passed += body;
            taken += body;
        }

        return taken;
    }
}
