namespace Platform.ResilienceTesting;

/// <summary>Knows how much of a reply's body has passed. HTTP/1 has a head before the body; with anything else it is all body.</summary>
internal sealed class ReplyMeter
{
    private int _start;
    private int _blankLine;
    private bool _inBody;
    private long _passed;

    private static ReadOnlySpan<byte> HttpStart => "HTTP/1."u8;

    private static ReadOnlySpan<byte> BlankLine => "\r\n\r\n"u8;

    /// <summary>A request was sent: what comes next is a new reply.</summary>
    public void NewReply() => (_start, _blankLine, _inBody, _passed) = (0, 0, false, 0);

    /// <summary>How many of the bytes may pass before the body exceeds the limit; they count as passed.</summary>
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
                    // not HTTP: what has passed as a head was the body's beginning
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
