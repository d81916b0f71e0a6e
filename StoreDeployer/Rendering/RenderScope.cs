namespace Platform.StoreDeployer.Rendering;

/// <summary>A template can't be rendered, and retrying can't help: the deployment fails.</summary>
internal sealed class RenderException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Stable kebab-case code of the deployment's error.</summary>
    public string Code { get; } = code;
}

/// <summary>Resource limits of rendering. Templates that pass the checks at publishing stay far below them.</summary>
internal sealed record RenderLimits
{
    /// <summary>Time for all pages of a store; 10 s.</summary>
    public TimeSpan Time { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Characters of one page; 1 Mi.</summary>
    public int PageLength { get; init; } = 1024 * 1024;

    /// <summary>Bytes of all pages of a store; 64 MiB.</summary>
    public long StoreSize { get; init; } = 64 * 1024 * 1024;

    /// <summary>Iterations and partials of one page; 10,000.</summary>
    public int Iterations { get; init; } = 10_000;
}

/// <summary>The page being rendered: the prefix of its links, and its use of the limits.</summary>
internal sealed class RenderScope(RenderLimits limits, TimeProvider time, CancellationToken cancellationToken)
{
    private readonly long _started = time.GetTimestamp();
    private int _iterations;
    private int _written;

    /// <summary>The prefix of this page's links: <c>""</c>, <c>"../../"</c>, or on the 404 page, which is shown at any address, the absolute path of the store's root.</summary>
    public string Root { get; private set; } = "";

    public string Path { get; private set; } = "";

    public void Begin(string path, string root) => (Path, Root, _iterations, _written) = (path, root, 0, 0);

    public void Iterate()
    {
        if (++_iterations > limits.Iterations)
            throw new RenderException("render-limit", $"{Path} takes more than {limits.Iterations} iterations.");
        CheckTime();
    }

    public void Write(int length)
    {
        _written += length;
        if (_written > limits.PageLength)
            throw new RenderException("render-limit", $"{Path} is longer than {limits.PageLength} characters.");
        CheckTime();
    }

    private void CheckTime()
    {
        cancellationToken.ThrowIfCancellationRequested();
        // Not a RenderException, which is permanent: a slow or suspended machine must not fail the deployment.
        if (time.GetElapsedTime(_started) > limits.Time)
            throw new TimeoutException($"Rendering took longer than {limits.Time.TotalSeconds} s (at {Path}).");
    }
}

/// <summary>Collects a page's text and enforces the limits.</summary>
internal sealed class LimitedWriter(RenderScope scope) : StringWriter(System.Globalization.CultureInfo.InvariantCulture)
{
    public override void Write(char value)
    {
        scope.Write(1);
        base.Write(value);
    }

    public override void Write(char[] buffer, int index, int count)
    {
        scope.Write(count);
        base.Write(buffer, index, count);
    }

    public override void Write(ReadOnlySpan<char> buffer)
    {
        scope.Write(buffer.Length);
        base.Write(buffer);
    }

    public override void Write(string? value)
    {
        scope.Write(value?.Length ?? 0);
        base.Write(value);
    }
}
