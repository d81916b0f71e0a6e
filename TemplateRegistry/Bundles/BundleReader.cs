using System.IO.Compression;
using System.IO.Hashing;
using System.Text;
using System.Text.RegularExpressions;
using HandlebarsDotNet;

namespace Platform.Templates;

/// <summary>
/// Reads and validates an untrusted bundle. The sizes in a zip's headers are not trusted: sizes are counted while inflating and checksums compared, so that a zip
/// bomb or a false header is refused at the first excess byte.
/// </summary>
internal static partial class BundleReader
{
    /// <summary>Largest size of a bundle in bytes: 10 MiB.</summary>
    public const int MaxBundleSize = 10 * 1024 * 1024;

    /// <summary>Largest size of all entries together when inflated: 20 MiB.</summary>
    public const int MaxInflatedSize = 20 * 1024 * 1024;

    /// <summary>Largest number of entries, including folders.</summary>
    public const int MaxEntries = 500;

    /// <summary>Largest compression ratio of an entry.</summary>
    public const int MaxRatio = 100;

    /// <summary>The longest path of an entry, in characters.</summary>
    public const int MaxPathLength = 200;

    /// <summary>The entry name used for issues that concern the whole bundle.</summary>
    public const string WholeBundle = "bundle";

    // The ratio of smaller entries is not checked.
    private const int HarmlessSize = 16 * 1024;

    /// <summary>Reads and validates a bundle of at most <see cref="MaxBundleSize"/> bytes; null if there were issues.</summary>
    public static TemplateBundle? Read(byte[] zip, TemplateIssues issues)
    {
        if (ReadFiles(zip, issues) is not { } files)
            return null;

        if (!files.TryGetValue(TemplateManifest.Entry, out var json))
        {
            var nested = files.Keys.FirstOrDefault(path => path.EndsWith("/" + TemplateManifest.Entry, StringComparison.Ordinal));
            issues.Add(TemplateManifest.Entry, nested is null ? "is missing" : $"is missing; there is {nested}: zip the folder's contents, not the folder");
            return null;
        }

        var sources = new Dictionary<string, string>();
        var assets = new HashSet<string>();
        foreach (var (path, content) in files)
        {
            if (path.StartsWith(TemplateLanguage.AssetsFolder, StringComparison.Ordinal))
            {
                assets.Add(path[TemplateLanguage.AssetsFolder.Length..]);
                if (AssetRules.Check(path, content) is { } problem)
                    issues.Add(path, problem);
            }
            else if (PagePattern().IsMatch(path) || PartialPattern().IsMatch(path))
            {
                if (AssetRules.DecodeText(content) is { } text)
                    sources.Add(path, text);
                else
                    issues.Add(path, "is not UTF-8 text without a byte order mark and control characters");
            }
            else if (path != TemplateManifest.Entry)
            {
                issues.Add(path, "has no place in a bundle, which has template.json, pages/*.hbs, partials/*.hbs (lower-case names) and assets/");
            }
        }

        var manifest = TemplateManifest.Read(json, issues);
        if (manifest is null || issues.Any)
            return null;

        TemplateLanguage.Check(manifest, sources, assets, issues);
        if (!issues.Any)
            Compile(sources, issues);
        return issues.Any ? null : new TemplateBundle(manifest, BundleDigest.Of(zip), zip);
    }

    /// <summary>The files of a zip by path; null if there were issues.</summary>
    private static Dictionary<string, byte[]>? ReadFiles(byte[] zip, TemplateIssues issues)
    {
        if (CountOfEntries(zip) is not { } count)
        {
            issues.Add(WholeBundle, "is not a zip file");
            return null;
        }
        if (count > MaxEntries)
        {
            issues.Add(WholeBundle, $"has more than {MaxEntries} entries");
            return null;
        }

        try
        {
            using var archive = new ZipArchive(new MemoryStream(zip, writable: false), ZipArchiveMode.Read);
            return ReadEntries(archive, issues);
        }
        catch (InvalidDataException e)
        {
            issues.Add(WholeBundle, $"is not a zip file that can be read: {e.Message}");
            return null;
        }
    }

    private static Dictionary<string, byte[]>? ReadEntries(ZipArchive archive, TemplateIssues issues)
    {
        // Clamped because a false header can state a size of up to 2^63, which would overflow the sum.
        if (archive.Entries.Sum(e => Math.Clamp(e.Length, 0, MaxInflatedSize + 1L)) > MaxInflatedSize)
        {
            issues.Add(WholeBundle, $"would be larger than {MaxInflatedSize} bytes when unzipped");
            return null;
        }

        var files = new Dictionary<string, byte[]>();
        var names = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        var room = MaxInflatedSize;
        foreach (var entry in archive.Entries)
        {
            var path = entry.FullName;
            var problem = CheckPath(path) ?? CheckKind(entry) ?? (names.Add(path) ? null : "is there twice (upper and lower case are the same)");
            if (problem is null && !path.EndsWith('/'))
            {
                problem = Inflate(entry, room, out var content);
                if (content is not null)
                {
                    files.Add(path, content);
                    room -= content.Length;
                }
            }
            if (problem is not null)
                issues.Add(path.Length <= MaxPathLength ? path : path[..MaxPathLength] + "…", problem);
        }
        return issues.Any ? null : files;
    }

    private static string? CheckPath(string path)
    {
        if (path.Length is 0 or > MaxPathLength)
            return $"must have a path of 1 to {MaxPathLength} characters";
        if (path.Contains('\\', StringComparison.Ordinal))
            return "has a backslash in its path; folders are parted by /";
        if (path.StartsWith('/') || (path.Length > 1 && path[1] == ':'))
            return "has an absolute path";
        var segments = path.TrimEnd('/').Split('/');
        if (segments.Contains(".."))
            return "has .. in its path, which leads out of the bundle";
        if (segments.Any(s => s.Length == 0 || s.StartsWith('.') || s.EndsWith('.')))
            return "has a part in its path that is empty or begins or ends with a dot";
        return PathPattern().IsMatch(path) ? null : "must have a path of letters, digits, '.', '_', '-' and '/' only";
    }

    private static string? CheckKind(ZipArchiveEntry entry)
    {
        const int Regular = 0x8000, Directory = 0x4000, Link = 0xA000;
        if (entry.IsEncrypted)
            return "is encrypted";
        // The file type of Unix' st_mode is in the upper half; 0 comes from programs that don't know one.
        var type = (entry.ExternalAttributes >> 16) & 0xF000;
        if (type == Link)
            return "is a symbolic link";
        if (type is not (0 or Regular or Directory))
            return "is neither a file nor a folder";
        if (entry.FullName.EndsWith('/') && entry.Length > 0)
            return "is a folder with content";
        return entry.Length > HarmlessSize && entry.Length > MaxRatio * Math.Max(entry.CompressedLength, 1)
            ? $"is more than {MaxRatio} times larger than its compressed form"
            : null;
    }

    private static string? Inflate(ZipArchiveEntry entry, int room, out byte[]? content)
    {
        content = null;
        if (entry.Length > room)
            return $"makes the bundle larger than {MaxInflatedSize} bytes when unzipped";
        try
        {
            using var stream = entry.Open();
            var buffer = new byte[entry.Length];
            var read = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            if (read < buffer.Length || stream.ReadByte() >= 0)
                return "is not of the size that the zip states";
            if (Crc32.HashToUInt32(buffer) != entry.Crc32)
                return "does not have the checksum that the zip states; the bundle is corrupt";
            content = buffer;
            return null;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or NotSupportedException)
        {
            return $"can't be unzipped: {e.Message}";
        }
    }

    /// <summary>
    /// The number of entries according to the zip's end record; null if there is no such record. Checked before the directory is read, because that allocates an
    /// object for each entry, and 10 MiB can hold some hundred thousand.
    /// </summary>
    private static int? CountOfEntries(ReadOnlySpan<byte> zip)
    {
        const int RecordLength = 22, LongestComment = ushort.MaxValue;
        var tail = zip[Math.Max(0, zip.Length - RecordLength - LongestComment)..];
        var record = tail.LastIndexOf("PK\u0005\u0006"u8);
        return record < 0 || tail.Length - record < RecordLength
            ? null
            : System.Buffers.Binary.BinaryPrimitives.ReadUInt16LittleEndian(tail[(record + 10)..]);
    }

    /// <summary>
    /// Compiles the sources as the renderer will, in case its compiler is stricter than <see cref="TemplateLanguage"/>.
    /// </summary>
    private static void Compile(Dictionary<string, string> sources, TemplateIssues issues)
    {
        var handlebars = Handlebars.Create();
        foreach (var helper in TemplateLanguage.Helpers)
            handlebars.RegisterHelper(helper, (_, _, _) => { });
        handlebars.RegisterHelper("eq", (_, _, _, _) => { });
        foreach (var (entry, source) in sources)
        {
            try
            {
                handlebars.Compile(source);
            }
            catch (HandlebarsException e)
            {
                issues.Add(entry, e.Message);
            }
        }
    }

    [GeneratedRegex(@"^[A-Za-z0-9._/-]+\z", RegexOptions.NonBacktracking)]
    private static partial Regex PathPattern();

    [GeneratedRegex(@"^pages/[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.hbs\z", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex PagePattern();

    [GeneratedRegex(@"^partials/[a-z][a-z0-9-]*\.hbs\z", RegexOptions.NonBacktracking)]
    private static partial Regex PartialPattern();
}
